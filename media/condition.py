"""How a node is, in the words that people and load balancers are told."""

from __future__ import annotations

from typing import Final

from captions.load import Level
from captions.translation import Translation
from captions.worker import State

_LOAD: Final = {
    Level.SLOWER: "captions come less often: the captioner is busy",
    Level.FINALS_ONLY: "captions come only when a sentence is complete: the captioner is busy",
    Level.SATURATED: (
        "captions come late, and only when a sentence is complete: "
        "the captioner has more to do than it can"
    ),
}


def recognizer_state(engine: State, final_engine: State = "ready") -> str:
    """The worse of the two, in the words of `/health`."""
    states = {engine, final_engine}
    if "open_circuit" in states:
        return "open_circuit"
    return "ready" if states == {"ready"} else "restarting"


def trouble(engine: State, final_engine: State, level: Level) -> str | None:
    """Why captions are not what they should be, None where they are."""
    if engine == "open_circuit":
        return "there are no captions: the recognizer keeps failing"
    if engine != "ready":
        return "the recognizer is being restarted"
    if level is not Level.NORMAL:
        return _LOAD[level]
    if final_engine != "ready":
        return "captions are less exact: the recognizer of whole sentences is being restarted"
    return None


def translation_trouble(translation: Translation) -> str | None:
    """Why captions in other languages than the spoken are not what they should be."""
    if translation.ready:
        return None
    return "captions in other languages come late, or as they were spoken: a translator restarts"
