"""What every `signaling.api_keys.keys.ApiKeys` must do. A subclass gives the fixture `store`."""

from __future__ import annotations

import sqlite3

import pytest

from signaling.api_keys.keys import ApiKey, Scope, digest_of, new_key

SCOPE = Scope("the switch", ("publish", "read"), "*", "acme")


def key(name: str, created_at_ms: int = 100, scope: Scope = SCOPE) -> ApiKey:
    return ApiKey(name, scope, created_at_ms)


class ApiKeysContract:
    """Each test has a store of its own."""

    @pytest.fixture
    async def store(self):
        raise NotImplementedError

    async def test_a_key_is_found_by_its_hash_as_it_was_made(self, store):
        secret, made = new_key(SCOPE, 1_700_000_000_000)
        await store.api_keys.add(digest_of(secret), made)
        assert await store.api_keys.find(digest_of(secret)) == made
        assert await store.api_keys.find(digest_of(secret + "x")) is None
        assert await store.api_keys.find(secret) is None

    async def test_keys_are_listed_the_newest_first(self, store):
        assert await store.api_keys.listed() == []
        keys = [key("b"), key("a"), key("c", 200, Scope("ö", ("manage",), "standup-42"))]
        for n, each in enumerate(keys):
            await store.api_keys.add(str(n), each)
        assert await store.api_keys.listed() == [keys[2], keys[1], keys[0]]

    async def test_a_key_is_revoked_once_and_stays_in_the_list(self, store):
        await store.api_keys.add("1", key("a"))
        await store.api_keys.add("2", key("b"))
        assert await store.api_keys.revoke("a", 500)
        assert await store.api_keys.revoke("a", 900)
        assert not await store.api_keys.revoke("c", 900)
        assert (await store.api_keys.find("1")).revoked_at_ms == 500
        assert (await store.api_keys.find("2")).revoked_at_ms is None
        assert {each.id: each.revoked_at_ms for each in await store.api_keys.listed()} == {
            "a": 500,
            "b": None,
        }

    async def test_there_are_no_two_keys_of_one_id_or_one_secret(self, store):
        await store.api_keys.add("1", key("a"))
        for digest, other in (("1", key("b")), ("2", key("a"))):
            with pytest.raises((sqlite3.IntegrityError, OSError)):
                await store.api_keys.add(digest, other)
        assert await store.api_keys.listed() == [key("a")]
