"""What MongoDB holds: the documents of each collection, and their indexes.

`calls`: what is known of a call, by id. `participants`: who was in it. `finals`: what was
said. `numbered`: by call and feed the newest number ever given and the newest erased, which
outlive the finals. `counters`: the newest `position` of a final, by which a search turns pages.

All but the last have `expires_at`, a date or null, which indexes with a time to live watch.
`signaling.webhooks.mongo`, `signaling.usage.mongo` and `signaling.api_keys.mongo` have their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from captions.types import SPOKEN, Caption
from signaling.retention import expires_at_ms
from signaling.store import CallRecord, ParticipantRecord
from signaling.words import words

Document = dict[str, Any]

ORPHANED: Final = timedelta(days=7)
"""How long finals are kept whose call is not there, and numbers behind their call's end.

A writer may bring a final long after it was said; numbers keep it from what was erased.
"""

_SPOKEN_ONLY: Final = {"feed": SPOKEN}

_EXPIRES: Final = {"keys": [("expires_at", 1)], "name": "expires", "expireAfterSeconds": 0}

INDEXES: Final[dict[str, Sequence[Mapping[str, Any]]]] = {
    "calls": [
        {"keys": [("started_at_ms", -1)], "name": "by_start"},
        {"keys": [("ended_at_ms", -1)], "name": "by_end"},
        _EXPIRES,
    ],
    "participants": [
        {"keys": [("call", 1), ("participant", 1)], "name": "once", "unique": True},
        {"keys": [("participant", 1)], "name": "by_participant"},
        _EXPIRES,
    ],
    "finals": [
        {"keys": [("call", 1), ("feed", 1), ("utterance", 1)], "name": "once", "unique": True},
        {"keys": [("call", 1), ("feed", 1), ("seq", 1)], "name": "by_seq", "unique": True},
        # The narrowings of a search, each with the order of its pages.
        *(
            {
                "keys": [*narrowed, ("position", -1)],
                "name": name,
                "partialFilterExpression": _SPOKEN_ONLY,
            }
            for name, narrowed in {
                "spoken": [],
                "spoken_words": [("words", 1)],
                "spoken_in_call": [("call", 1)],
                "spoken_by": [("participant", 1)],
            }.items()
        ),
        {
            "keys": [("said_at_ms", 1)],
            "name": "spoken_at",
            "partialFilterExpression": _SPOKEN_ONLY,
        },
        _EXPIRES,
    ],
    "numbered": [
        {"keys": [("call", 1), ("feed", 1)], "name": "once", "unique": True},
        _EXPIRES,
    ],
}
"""By collection, as `pymongo.IndexModel` takes them."""


def date(ms: int) -> datetime:
    """Milliseconds since the Unix epoch as MongoDB's dates are."""
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def call_fields(record: CallRecord) -> Document:
    """What changes of a call when it is saved again."""
    at_ms = expires_at_ms(record)
    return {
        "ended_at_ms": record.ended_at_ms,
        "settings": dict(record.settings),
        "expires_at": None if at_ms is None else date(at_ms),
    }


def call_record(document: Document) -> CallRecord:
    """The call that was saved."""
    return CallRecord(
        document["_id"],
        document["started_at_ms"],
        document["ended_at_ms"],
        document["settings"],
    )


def expiry(call: Document | None) -> datetime | None:
    """When finals and participants of a call are due to go."""
    if call is None:
        return datetime.now(UTC) + ORPHANED
    at: datetime | None = call["expires_at"]
    return at


def expiry_of_numbers(call: Document | None) -> datetime | None:
    """When the numbers of a call are due to go: once nothing can be late any more."""
    at = expiry(call)
    return None if at is None else min(at, datetime.max.replace(tzinfo=UTC) - ORPHANED) + ORPHANED


def final_fields(caption: Caption, call: Document | None, position: int) -> Document:
    """What is kept of a final beside its key, (call, feed, utterance)."""
    fields: Document = {
        "seq": caption.seq,
        "participant": caption.participant,
        "said_at_ms": call and call["started_at_ms"] + caption.start_ms,
        "position": position,
        "expires_at": expiry(call),
        "caption": caption.to_wire(),
    }
    if caption.feed == SPOKEN:
        fields["words"] = sorted(words(caption.text) | words(caption.speaker))
    return fields


def widened(who: ParticipantRecord, expires_at: datetime | None) -> list[Document]:
    """The update of a participant who may be there already, as a pipeline."""
    return [
        {
            "$set": {
                "name": {
                    "$cond": [
                        {"$gte": [who.last_seen_ms, {"$ifNull": ["$last_seen_ms", 0]}]},
                        {"$literal": who.name},
                        "$name",
                    ]
                },
                "first_seen_ms": {"$min": ["$first_seen_ms", who.first_seen_ms]},
                "last_seen_ms": {"$max": ["$last_seen_ms", who.last_seen_ms]},
                "expires_at": expires_at,
            }
        }
    ]


def participant_record(document: Document) -> ParticipantRecord:
    """The participant that was saved."""
    return ParticipantRecord(
        document["participant"],
        document["name"],
        document["first_seen_ms"],
        document["last_seen_ms"],
    )


def query(text: str) -> Document | None:
    """The condition that finds `text`; empty for all, None where nothing can match."""
    if not text.replace("\0", " ").strip():
        return {}
    # The server looks the first up in its index: a long word is rarer than a short one.
    wanted = sorted(words(text), key=lambda word: (-len(word), word))
    return {"words": {"$all": wanted}} if wanted else None
