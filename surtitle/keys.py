"""API keys by hand: `surtitle key create`, `list`, `revoke`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from signaling.api_keys.keys import digest_of, new_key, scope_of
from signaling.shared_call import now_ms
from surtitle.settings import UserError
from surtitle.stores import transcript_store


async def create_key(
    data: Path, mongo: str, *, name: str, grants: tuple[str, ...], call: str, tenant: str
) -> None:
    """Make a key and print its secret, which nobody sees again."""
    try:
        scope = scope_of(name, grants, call, tenant)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    secret, key = new_key(scope, now_ms())
    async with transcript_store(mongo, data) as store:
        await store.api_keys.add(digest_of(secret), key)
    sys.stderr.write(f"{key.id}: keep it now, it is not shown again\n")
    sys.stdout.write(f"{secret}\n")


async def list_keys(data: Path, mongo: str) -> None:
    """Show all keys, without their secrets."""
    async with transcript_store(mongo, data) as store:
        keys = await store.api_keys.listed()
    table = Table("id", "name", "grants", "call", "tenant", "made", "revoked", box=None)
    for key in keys:
        scope = key.scope
        made, revoked = _date(key.created_at_ms), _date(key.revoked_at_ms)
        table.add_row(
            key.id, scope.name, " ".join(scope.grants), scope.call, scope.tenant, made, revoked
        )
    width = None if sys.stdout.isatty() else 400
    Console(width=width, markup=False, highlight=False).print(table)


async def revoke_key(data: Path, mongo: str, key_id: str) -> None:
    """Revoke a key; `UserError` where there is none of this id."""
    async with transcript_store(mongo, data) as store:
        if not await store.api_keys.revoke(key_id, now_ms()):
            raise UserError(f"no key {key_id!r}")
    sys.stderr.write(f"{key_id} is revoked; within seconds no gateway takes it\n")


def _date(epoch_ms: int | None) -> str:
    if epoch_ms is None:
        return ""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d")
