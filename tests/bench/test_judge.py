"""The benchmark's verdicts, by hand and beside the measure from outside."""

from __future__ import annotations

import asyncio
import importlib.util
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.bench.judge import Spoken, erasure, final_delays, judge, quantile, shown_for_good, spoken
from tests.bench.participants import Voice, english, silence
from tests.peer import RATE
from tests.recordings import ROOT, Recording

OUTSIDE = ROOT.parent / "shared" / "measure" / "measure_call.py"


def caption(text, revision, *, utterance="u-1", final=False, start_ms=0):
    return {
        "utterance": utterance,
        "participant": "p",
        "language": "en",
        "revision": revision,
        "text": text,
        "final": final,
        "start_ms": start_ms,
        "seq": None,
    }


def recording(text, seconds=2.0, ends=()):
    return Recording(Path("none"), "anna", text, "en", seconds, tuple(ends))


def test_a_word_counts_from_when_the_screen_never_again_holds_fewer():
    log = [
        (1.0, caption("one", 1)),
        (2.0, caption("one two three", 2)),
        (3.0, caption("one two", 3)),
        (4.0, caption("one two three", 4, final=True)),
    ]
    assert shown_for_good(log, 4) == [1.0, 2.0, 4.0, None]


def test_a_late_revision_takes_nothing_back():
    log = [(1.0, caption("one two", 2)), (2.0, caption("one", 1))]
    assert shown_for_good(log, 2) == [1.0, 1.0]
    assert erasure(log) == (0, 0)


def test_what_is_taken_back_is_counted_in_characters():
    log = [(1.0, caption("the cat", 1)), (2.0, caption("the car is", 2, final=True))]
    assert erasure(log) == (1, 10)


def test_a_recording_waits_for_the_first_final_at_its_end_or_behind():
    log = [
        (2.4, caption("one", 1, final=True)),
        (2.6, caption("two", 1, utterance="u-2", final=True)),
        (9.0, caption("two", 1, utterance="u-2", final=True)),
    ]
    assert final_delays([3.0, 10.0], log) == pytest.approx([-0.4])


def test_words_without_times_are_spread_by_their_length():
    said = spoken([recording("One, two!"), recording("no", ends=(0.5,))], [(1.0, 3.0), (4.0, 5.0)])
    assert said == Spoken("one two no", (2.0, 3.0, 4.5), (3.0, 5.0))


def test_nothing_heard_is_no_delay_and_every_word_wrong():
    verdict = judge([(Spoken("one two", (1.0, 2.0), (2.0,)), [])])
    assert (verdict.wer, verdict.word_delays, verdict.erasure) == (1.0, (), None)
    assert (verdict.words_never_shown, verdict.words_added) == (2, 0)
    assert quantile(verdict.word_delays, 0.95) is None


def test_words_that_nobody_said_are_counted():
    log = [(1.0, caption("One, one two three.", 1, final=True))]
    verdict = judge([(Spoken("one two", (1.0, 2.0), (2.0,)), log)])
    assert verdict.words_added == 2


def test_the_sample_of_recordings_ends_where_the_next_does_not_fit():
    few = [recording("a", 30.0), recording("b", 30.0), recording("c", 10.0)]
    assert [r.text for r in english(few, 45.0)] == ["a", "c"]
    assert [r.text for r in english(few, 5.0)] == ["a"]


async def test_a_voice_that_is_held_up_skips_audio_instead_of_catching_up():
    voice = Voice([silence(1.0)])
    await voice.recv()
    voice.started -= 2.0
    frame = await voice.recv()
    assert voice.skipped_seconds == pytest.approx(2.0, abs=0.05)
    assert frame.pts == pytest.approx(2.0 * RATE, abs=RATE * 0.05)
    assert voice.spans == [(1.0, 2.0)]
    await asyncio.sleep(0)


def agrees_with_the_measure_from_outside(seed):
    spec = importlib.util.spec_from_file_location("measure_call", OUTSIDE)
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)
    draw = random.Random(seed)
    text = " ".join(draw.choice(["one", "two", "Well,", "ill-disposed"]) for _ in range(12))
    log = random_log(draw, text)
    said = recording(text, 6.0, (0.5 * n for n in range(12) if seed % 2))
    verdict = judge([(spoken([said], [(1.0, 7.0)]), log)])

    captions = outside.Captions()
    captions.log = [(100.0 + arrival, heard) for arrival, heard in log]
    item = {"text": text} | ({"word_ends": list(said.word_ends)} if said.word_ends else {})
    track = SimpleNamespace(started=100.0, spans=[(1.0, 7.0)])
    person = SimpleNamespace(id="p", name="Anna", clips=[(item, None)], track=track)
    theirs = outside.judge([person], captions)

    def delays(values):
        found = {"p50": quantile(values, 0.5), "p95": quantile(values, 0.95)}
        return pytest.approx(found, abs=2e-3) if values else None

    assert theirs["wer"] == pytest.approx(verdict.wer, abs=1e-4)
    assert theirs["word_delay"] == delays(verdict.word_delays)
    assert theirs["final_delay"] == delays(verdict.final_delays)
    assert theirs["erasure"] == pytest.approx(verdict.erasure, abs=1e-3)
    assert theirs["text"]["Anna"] == verdict.heard[0]


if OUTSIDE.is_file():  # it is not ours to commit: asked where it is
    test_it_agrees_with_the_measure_from_outside = pytest.mark.parametrize("seed", range(20))(
        agrees_with_the_measure_from_outside
    )


def random_log(draw, text):
    """Two utterances that grow, shrink, are doubled and come out of order."""
    words, log, now = text.split(), [], 1.0
    for number, mine in enumerate((words[:7], words[7:])):
        name, revision = f"u-{number}", 0
        for count in [*(draw.randrange(1, 8) for _ in range(6)), 7]:
            now, revision = now + draw.random(), revision + 1
            last = revision == 7
            shown = " ".join(mine[:count] if last or draw.random() < 0.7 else mine[:count][::-1])
            log.append(
                (now, caption(shown, revision, utterance=name, final=last, start_ms=9 - number))
            )
            if draw.random() < 0.3:
                log.append((now + 0.01, draw.choice(log)[1]))
    return log
