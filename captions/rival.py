"""The text on the screen against the newest hypothesis: what to ask the model to weigh.

Whisper changes its mind over words long heard, and back again, when more audio follows. So
where a hypothesis contradicts what is shown in the middle of the text, and agrees with it
behind that place, both readings are put to the model, and the shown one stays unless the
other is more likely. Pure; the weighing is the recognizer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from captions.agreement import aligned
from captions.types import HeardWord

MARGIN: Final = 0.5
"""In nats: so much less likely may the shown reading be and stay."""

MARGIN_A_WORD: Final = 0.9
"""More of it for each word that the newest leaves out: a longer text is less likely."""


@dataclass(frozen=True, slots=True)
class Rival:
    """The newest hypothesis with the shown reading of each place in doubt that is behind us.

    `left_out` counts the words of it that the newest simply leaves out.
    """

    words: tuple[HeardWord, ...]
    left_out: int

    def stays(self, likelihood: float, newest: float) -> bool:
        """Whether it stays, by the log probabilities of both, in nats.

        Measured on 74 of them: of those within the margins two in three were nearer to
        what was said than the newest hypothesis, of the others one in six.
        """
        return likelihood + MARGIN + MARGIN_A_WORD * self.left_out >= newest


def rival(shown: tuple[HeardWord, ...], words: tuple[HeardWord, ...]) -> Rival | None:
    """What of `shown` stands against the hypothesis `words`; None where nothing does."""
    if not shown:
        return None
    *behind, newest = aligned(shown, words).get_opcodes()
    if all(kind == "equal" for kind, *_ in behind):
        return None
    reading: list[HeardWord] = []
    left_out = 0
    for kind, begin, end, new_begin, new_end in behind:
        reading += words[new_begin:new_end] if kind == "equal" else shown[begin:end]
        left_out += end - begin if kind == "delete" else 0
    return Rival((*reading, *words[newest[3] : newest[4]]), left_out)
