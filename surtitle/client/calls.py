"""Calls over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from signaling.sources import AnySource, Direct
from surtitle.client.call import Call, Profanity
from surtitle.client.http import Http

_DIRECT: Final = Direct()


class Calls:
    """What can be done with calls. Every method raises `SurtitleError`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(
        self,
        call: str | None = None,
        *,
        source: AnySource = _DIRECT,
        language: str = "auto",
        captions_languages: Sequence[str] = (),
        vocabulary: Sequence[str] = (),
        profanity: Profanity = "keep",
        retention_days: int | None = None,
    ) -> Call:
        """Create a call, or find it with the same settings; `conflict` where they are others.

        Without `call` the server makes up an id. `language` is the BCP 47 tag of who does not say
        what they speak; `captions_languages` are translated into from the beginning;
        `vocabulary` are names that may well be said. Needs `manage`.
        """
        body: dict[str, Any] = {
            "source": {"kind": source.kind, **source.model_dump(exclude_none=True)},
            "language": language,
            "captions_languages": list(captions_languages),
            "vocabulary": list(vocabulary),
            "profanity": profanity,
            "retention_days": retention_days,
        }
        if call is not None:
            body["call"] = call
        return Call.from_wire(await self._http.json("POST", "/api/calls", body=body))

    async def get(self, call: str) -> Call:
        """A call as it is, or was; `not_found` where it was never there. Needs `read`."""
        return Call.from_wire(await self._http.json("GET", path(call)))

    async def list(self, limit: int = 100) -> tuple[Call, ...]:
        """The newest calls that the token may read, at most 1000."""
        answer = await self._http.json("GET", "/api/calls", query={"limit": limit})
        return tuple(Call.from_wire(one) for one in answer["calls"])

    async def change(
        self,
        call: str,
        *,
        captions_languages: Sequence[str] | None = None,
        vocabulary: Sequence[str] | None = None,
        profanity: Profanity | None = None,
    ) -> Call:
        """Change settings of a call that goes on (else `conflict`): those that are not None.

        Needs `manage`.
        """
        body = {
            "captions_languages": None if captions_languages is None else [*captions_languages],
            "vocabulary": None if vocabulary is None else [*vocabulary],
            "profanity": profanity,
        }
        return Call.from_wire(await self._http.json("PATCH", path(call), body=body))

    async def end(self, call: str) -> None:
        """End it for everybody; what was being said becomes final first. Needs `manage`."""
        await self._http.text("DELETE", path(call))


def path(call: str) -> str:
    """Of a call's resource."""
    return f"/api/calls/{quote(call, safe='')}"
