"""Finals of another recognizer on their way through a call's publisher, each published once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from captions.types import SPOKEN, Caption, timed
from signaling.errors import ContractError

MOST_WAITING: Final = 1000
"""Finals that wait for the bus; who brings more is told to come again."""

MOST_REMEMBERED: Final = 1000
"""Finals that are known to be published: who did not get the answer asks once more."""


class Brought:
    """`put` never waits; `numbered` is told of what the bus took."""

    def __init__(self, say: Callable[[Caption], None]) -> None:
        """`say` takes each final once, and never waits."""
        self._say = say
        self._waiting: dict[str, asyncio.Future[Caption]] = {}  # by utterance
        self._done: OrderedDict[str, asyncio.Future[Caption]] = OrderedDict()

    def put(self, finals: Sequence[Caption]) -> list[asyncio.Future[Caption]]:
        """Say those that are new, in order. What they become; not for canceling."""
        known = self._waiting | self._done
        new = [final for final in finals if final.utterance not in known]
        if len(self._waiting) + len(new) > MOST_WAITING:
            raise ContractError("overloaded", "too much waits to be published", 1000)
        loop = asyncio.get_running_loop()
        for final in new:
            self._waiting[final.utterance] = loop.create_future()
            self._say(timed(final))
        return [self._waiting.get(f.utterance) or self._done[f.utterance] for f in finals]

    def numbered(self, caption: Caption) -> None:
        """A caption of the call was published; it may be none of these."""
        if not (caption.final and caption.feed == SPOKEN):
            return
        waiting = self._waiting.pop(caption.utterance, None)
        if waiting:
            waiting.set_result(caption)
            self._done[caption.utterance] = waiting
            if len(self._done) > MOST_REMEMBERED:
                self._done.popitem(last=False)

    def give_up(self, why: ContractError) -> None:
        """What waits will not be published, and what was is no longer known."""
        for waiting in self._waiting.values():
            waiting.set_exception(why)
            waiting.exception()  # whoever waits gets it; nobody has to
        self._waiting.clear()
        self._done.clear()
