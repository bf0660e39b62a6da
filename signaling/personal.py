"""What is kept of one person, for who asks for theirs: to export it, and to erase it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from typing import Any, Final

from captions.types import Caption
from signaling.messages import ANONYMOUS
from signaling.shared_call import TENANTS
from signaling.store import ERASED, Search, TranscriptStore

_PAGE: Final = 500


def emptied(final: Caption) -> Caption:
    """What is left of an erased person's final: its number and time, nobody's and wordless.

    The number stays, since a hole would tell readers that they missed something.
    """
    return replace(
        final,
        participant=ERASED,
        speaker=ANONYMOUS,
        text="",
        stable=0,
        confidence=None if final.confidence is None else 0.0,
        words=None if final.words is None else (),
        source_text=None,
    )


async def erase_person(store: TranscriptStore, participant: str, calls: Collection[str]) -> int:
    """Empty their finals in calls that are over, and forget them there; how many finals."""
    erased = await store.erase_participant(participant, calls)
    for call in sorted(calls):
        record = await store.call(call)
        pairs = record.settings.get(TENANTS, ()) if record else ()
        left = [pair for pair in pairs if pair[0] != participant]
        if record and len(left) < len(pairs):
            await store.save_call(replace(record, settings={**record.settings, TENANTS: left}))
    return erased


async def exported(
    store: TranscriptStore, participant: str, call: str | None = None
) -> AsyncIterator[str]:
    """JSON in parts, `{"participant", "calls": […], "captions": […]}`; of one call, or of all.

    `calls` are those they were seen in, as `call`, `name`, `first_seen_ms` and `last_seen_ms`
    (since the Unix epoch); `captions` all their finals as they were spoken, the newest first.
    """
    seen = [
        {
            "call": where,
            "name": who.name,
            "first_seen_ms": who.first_seen_ms,
            "last_seen_ms": who.last_seen_ms,
        }
        for where, who in await store.attendances(participant)
        if call in (None, where)
    ]
    yield f'{{"participant": {_text(participant)}, "calls": {_text(seen)}, "captions": ['
    cursor: int | None = None
    begun = False
    while True:
        wanted = Search(participant=participant, call=call, limit=_PAGE, cursor=cursor)
        finals, cursor = await store.search(wanted)
        if finals:
            yield (", " if begun else "") + ", ".join(_text(final.to_wire()) for final in finals)
            begun = True
        if cursor is None:
            break
    yield "]}\n"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)
