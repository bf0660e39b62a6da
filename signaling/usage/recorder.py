"""Fills the ledger behind each final that is written, before it leaves the bus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from captions.types import SPOKEN, Caption
from signaling.presence import Presence
from signaling.shared_call import now_ms, tenant_of
from signaling.store import CallRecord, TranscriptStore
from signaling.usage.ledger import Entry


class Recorder:
    """Whose a final is, the call's document says; behind its end, its record in the store."""

    def __init__(self, store: TranscriptStore, presence: Presence) -> None:
        self._store = store
        self._presence = presence

    async def finals_written(
        self, finals: Sequence[Caption], records: Mapping[str, CallRecord]
    ) -> None:
        """These are in the store, or were erased there; of calls that it knows as `records`."""
        live = {call: await self._presence.record(call) for call in {f.call for f in finals}}
        await self._store.ledger.record(
            [
                _entry(final, live[final.call] or records.get(final.call))
                for final in finals
                # A feed has what was spoken in its language as well, and what cannot be translated.
                if final.feed == SPOKEN or final.source_text is not None
            ]
        )


def _entry(final: Caption, record: CallRecord | None) -> Entry:
    began_ms = record.started_at_ms + final.start_ms if record else now_ms()
    return Entry(
        call=final.call,
        feed=final.feed,
        utterance=final.utterance,
        tenant=tenant_of(record, final.participant) if record else "",
        said_at_ms=began_ms,
        speech_ms=max(0, final.end_ms - final.start_ms) if final.feed == SPOKEN else 0,
    )
