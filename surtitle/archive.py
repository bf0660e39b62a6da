"""`surtitle archive`: calls that ended, each as one JSON document in a folder or in S3.

A document is one line of JSON in UTF-8:

    {
      "schema": "surtitle-call-1",
      "call": {"call": …, "started_at_ms": …, "ended_at_ms": …, "settings": {…}},
      "participants": [{"id": …, "name": …, "first_seen_ms": …, "last_seen_ms": …}, …],
      "feeds": {"spoken": [Caption, …], "de": [Caption, …], …}
    }

Captions are those of the public contract, finals only, in order of `seq`; times in `call`
and `participants` are milliseconds since the Unix epoch. Its name is the call's start and
id, `20261127T153147123Z-standup-42.json`, with `~` for a colon in the id.

A call that is archived again has the same document, with what has been said since added to
it: what the store erased in the meantime is not erased in the archive, which is yours.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import structlog

from captions.types import Caption
from signaling.retention import DAY_MS
from signaling.store import CallRecord, ParticipantRecord, TranscriptStore
from signaling.webhooks.targets import SETTING as WEBHOOK
from surtitle.archive_places import Place, place_of
from surtitle.settings import UserError

log = structlog.get_logger(__name__)

SCHEMA: Final = "surtitle-call-1"
"""What a document says it is."""

_PAGE: Final = 100


async def archive_calls(
    store: TranscriptStore,
    destination: str,
    older_than_days: float = 0.0,
    *,
    delete: bool = False,
) -> int:
    """Archive the calls that ended `older_than_days` ago or before; how many there were.

    `destination` is a folder or `s3://bucket/prefix`. With `delete` the finals and
    participants of each are erased from the store, once the document was read back.
    Calls with nothing in the store are left alone. `UserError` where the destination
    cannot be written or read; what was archived until then stays.
    """
    place = place_of(destination)
    before_ms = int(time.time() * 1000 - older_than_days * DAY_MS)
    count = 0
    async for record in _ended(store, before_ms):
        if await _archive(store, place, record, delete=delete):
            count += 1
    return count


async def _ended(store: TranscriptStore, before_ms: int) -> AsyncIterator[CallRecord]:
    """All calls that ended before, in pages; several may have ended at the same time."""
    seen: set[str] = set()
    limit = _PAGE
    while True:
        page = await store.ended_before(before_ms, limit)
        fresh = [record for record in page if record.call not in seen]
        for record in fresh:
            seen.add(record.call)
            yield record
        if len(page) < limit:
            return
        if not fresh:  # more of one millisecond than fit a page
            limit *= 2
        before_ms = (page[-1].ended_at_ms or 0) + 1


async def _archive(
    store: TranscriptStore, place: Place, record: CallRecord, *, delete: bool
) -> bool:
    numbers = await store.last_seq(record.call)
    feeds = {feed: await store.captions(record.call, feed) for feed in sorted(numbers)}
    participants = await store.participants(record.call)
    if not participants and not any(feeds.values()):
        return False
    name = document_name(record)
    there = await place.read(name)
    before = None if there is None else _parsed(name, there)
    document = _document(record, participants, feeds, before)
    data = json.dumps(document, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    if data != there:
        await place.write(name, data)
    if delete:
        if await place.read(name) != data:
            raise UserError(f"{name} is not in the archive as it was written; nothing was erased")
        if await store.last_seq(record.call) == numbers:
            await store.erase(record.call, numbers)
        else:  # a late writer, or the call goes on: next time
            log.warning("call not erased, since more came while it was archived")
    return True


def document_name(record: CallRecord) -> str:
    """The name of a call's document: safe in every file system, in order of time."""
    start = datetime.fromtimestamp(record.started_at_ms // 1000, UTC)
    stamp = f"{start:%Y%m%dT%H%M%S}{record.started_at_ms % 1000:03}Z"
    # At most three bytes a sign for what no id of the contract has.
    return f"{stamp}-{quote(record.call.replace(':', '~'), safe='~')}.json"


def _document(
    record: CallRecord,
    participants: list[ParticipantRecord],
    feeds: dict[str, list[Caption]],
    there: dict[str, Any] | None,
) -> dict[str, Any]:
    people = {who["id"]: who for who in there["participants"]} if there else {}
    for who in participants:
        known = people.get(who.id, {})
        people[who.id] = {
            "id": who.id,
            "name": who.name,
            "first_seen_ms": min(who.first_seen_ms, known.get("first_seen_ms", who.first_seen_ms)),
            "last_seen_ms": max(who.last_seen_ms, known.get("last_seen_ms", who.last_seen_ms)),
        }
    said: dict[str, dict[int, Any]] = {}
    for feed, wires in (there["feeds"] if there else {}).items():
        said[feed] = {wire["seq"]: wire for wire in wires}
    for feed, finals in feeds.items():
        said.setdefault(feed, {}).update({c.seq or 0: c.to_wire() for c in finals})
    return {
        "schema": SCHEMA,
        "call": {
            "call": record.call,
            "started_at_ms": record.started_at_ms,
            "ended_at_ms": record.ended_at_ms,
            "settings": {k: v for k, v in record.settings.items() if k != WEBHOOK},
        },
        "participants": sorted(people.values(), key=lambda who: (who["first_seen_ms"], who["id"])),
        "feeds": {
            feed: [finals[seq] for seq in sorted(finals)] for feed, finals in said.items() if finals
        },
    }


def _parsed(name: str, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
        if document["schema"] == SCHEMA:
            return dict(document)
    except (ValueError, KeyError, TypeError):
        log.warning("a document in the archive cannot be read", document=name)
    raise UserError(f"{name} in the archive is not a document of Surtitle; move it away")
