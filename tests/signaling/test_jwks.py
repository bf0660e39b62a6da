"""Tokens by the public keys of a URL: a program that serves them, and what is never taken."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from signaling.authenticator import Authenticator
from signaling.errors import ContractError
from signaling.jwks import LARGEST_BYTES, LIFETIME_SECONDS, MOST_KEYS, Jwks
from signaling.tokens import SharedSecret
from tests.signaling.test_tokens import SECRET, claims

RSA = rsa_key(65537, 2048)
WEAK_RSA = rsa_key(65537, 1024)
ED = Ed25519PrivateKey.generate()
OTHER_ED = Ed25519PrivateKey.generate()


def jwk(private, **more) -> dict:
    kinds = {"RSA": RSAAlgorithm, "OKP": OKPAlgorithm, "EC": ECAlgorithm}
    for kind, algorithm in kinds.items():
        try:
            wire = json.loads(algorithm.to_jwk(private.public_key()))
        except (TypeError, jwt.InvalidKeyError, AttributeError):
            continue
        if wire["kty"] == kind:
            wire.pop("key_ops", None)
            return wire | more
    raise AssertionError(private)


def signed(key=ED, algorithm: str = "EdDSA", kid: str | None = "a", **more) -> str:
    headers = {"kid": kid} if kid is not None else {}
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers=headers)


def forged(**odd) -> str:
    """By the right key, with claims that PyJWT itself would not sign."""
    body = json.dumps(claims(**odd)).encode()
    return jwt.api_jws.encode(body, ED, algorithm="EdDSA", headers={"kid": "a"})


@dataclass
class Issuer:
    """Serves keys; `asked` counts requests."""

    url: str = ""
    keys: list = field(default_factory=list)
    body: bytes | None = None
    status: int = 200
    asked: int = 0
    hold: asyncio.Event | None = None

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.hold:
            await self.hold.wait()
        if self.status in (301, 302):
            raise web.HTTPFound("/elsewhere")
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(body=body, status=self.status)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def issuing(*keys: dict) -> AsyncIterator[tuple[Issuer, Authenticator, Clock]]:
    issuer, clock = Issuer(keys=list(keys)), Clock()
    app = web.Application()
    app.router.add_get("/keys", issuer.answer)
    app.router.add_get("/elsewhere", issuer.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    try:
        jwks = Jwks(issuer.url, clock=clock)
        yield issuer, Authenticator(secret=SharedSecret(SECRET), jwks=jwks), clock
    finally:
        await runner.cleanup()


async def refused(authority: Authenticator, token: str, code: str = "unauthorized") -> None:
    with pytest.raises(ContractError) as error:
        await authority.authenticate(token)
    assert error.value.code == code


@pytest.mark.parametrize(("key", "algorithm"), [(ED, "EdDSA"), (RSA, "RS256")])
async def test_a_token_by_a_key_of_the_url_is_taken_and_the_keys_are_fetched_once(key, algorithm):
    async with issuing(jwk(key, kid="a"), jwk(OTHER_ED, kid="b")) as (issuer, authority, _):
        for name in ("a", "a", None) if algorithm == "RS256" else ("a", "a"):
            who = await authority.authenticate(signed(key, algorithm, name))
            assert (who.subject, who.call) == ("p-anna", "standup-42")
        assert issuer.asked == 1
        await refused(authority, signed(key, algorithm, "b"))
        shared = SharedSecret(SECRET).issue("p-ben", "*", ("join",), None, 60)
        assert (await authority.authenticate(shared)).subject == "p-ben"


async def test_a_token_without_a_key_s_name_is_taken_where_one_key_fits_only():
    async with issuing(jwk(ED, kid="a"), jwk(RSA, kid="r")) as (issuer, authority, clock):
        assert (await authority.authenticate(signed(kid=None))).subject == "p-anna"
        issuer.keys.append(jwk(OTHER_ED, kid="b"))
        clock.now += LIFETIME_SECONDS
        await refused(authority, signed(kid=None))


async def test_a_public_key_is_no_secret():
    async with issuing(jwk(RSA, kid="a")) as (_, authority, _):
        pem = RSA.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for secret in (pem, json.dumps(jwk(RSA)).encode()):
            head, body = (
                base64url_encode(json.dumps(part).encode())
                for part in ({"alg": "HS256", "typ": "JWT", "kid": "a"}, claims())
            )
            signer = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
            mark = base64url_encode(signer.sign(head + b"." + body, secret))
            await refused(authority, b".".join((head, body, mark)).decode())
        assert await authority.authenticate(signed(RSA, "RS256"))


async def test_a_symmetric_key_of_the_url_signs_nothing():
    wire = {"kty": "oct", "k": base64url_encode(b"k" * 32).decode(), "kid": "a", "alg": "HS256"}
    async with issuing(wire, jwk(ED, kid="b")) as (_, authority, _):
        await refused(authority, signed("k" * 32, "HS256"))
        only_keys = Authenticator(jwks=authority._jwks)
        await refused(only_keys, signed("k" * 32, "HS256"))
        await refused(only_keys, SharedSecret(SECRET).issue("p", "*", ("join",), None, 60))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS384"), (RSA, "RS512"), (RSA, "PS256"), (ED, "HS256"), (None, "none")],
)
async def test_no_other_algorithm_is_taken(key, algorithm):
    async with issuing(jwk(RSA, kid="a"), jwk(ED, kid="b")) as (issuer, authority, _):
        if algorithm == "HS256":
            token = signed("any secret that is long enough for it", "HS256")
        else:
            token = signed(key, algorithm)
        await refused(authority, token)
        assert issuer.asked == 0


async def test_a_key_is_taken_for_its_own_algorithm_only():
    async with issuing(jwk(RSA, kid="a"), jwk(ED, kid="b")) as (_, authority, _):
        await refused(authority, signed(ED, "EdDSA", "a"))
        await refused(authority, signed(RSA, "RS256", "b"))
        assert await authority.authenticate(signed(ED, "EdDSA", "b"))


@pytest.mark.parametrize(
    ("private", "algorithm", "more"),
    [
        (WEAK_RSA, "RS256", {}),
        (RSA, "RS256", {"use": "enc"}),
        (RSA, "RS256", {"alg": "RS512"}),
        (RSA, "RS256", {"n": "!"}),
        (RSA, "RS256", {"e": 7}),
        (ED, "EdDSA", {"crv": "X25519"}),
        (ED, "EdDSA", {"x": "AAAA"}),
        (ED, "EdDSA", {"kid": 7}),
        (Ed448PrivateKey.generate(), "EdDSA", {}),
        (ec_key(SECP256R1()), "ES256", {}),
    ],
)
async def test_a_key_that_is_weak_or_for_something_else_signs_nothing(private, algorithm, more):
    good = jwk(OTHER_ED, kid="good")
    async with issuing(jwk(private, **{"kid": "a"} | more), good) as (_, authority, _):
        await refused(authority, signed(private, algorithm))
        assert await authority.authenticate(signed(OTHER_ED, kid="good"))


async def test_a_new_key_is_found_at_its_first_token_and_an_old_one_is_gone_with_its_set():
    async with issuing(jwk(ED, kid="a")) as (issuer, authority, clock):
        assert await authority.authenticate(signed())
        issuer.keys = [jwk(ED, kid="a"), jwk(OTHER_ED, kid="b")]
        await refused(authority, signed(OTHER_ED, kid="b"))  # asked for just before
        clock.now += 5
        assert await authority.authenticate(signed(OTHER_ED, kid="b"))
        issuer.keys = [jwk(OTHER_ED, kid="b")]
        assert await authority.authenticate(signed())
        clock.now += LIFETIME_SECONDS
        await refused(authority, signed())
        assert issuer.asked == 3


async def test_names_that_nobody_knows_cost_one_request_in_a_while():
    async with issuing(jwk(ED, kid="a")) as (issuer, authority, clock):
        for _ in range(3):
            await asyncio.gather(*(refused(authority, signed(kid=f"k{n}")) for n in range(20)))
            clock.now += 5
        assert issuer.asked == 3


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, None),
        (404, None),
        (302, None),
        (200, b""),
        (200, b"[]"),
        (200, b"\xff"),
        (200, b'{"keys": {}}'),
        (200, b'{"keys": []}'),
        (200, b'{"keys": [7, null]}'),
        (200, b"[" * 20_000),
        (200, b'{"keys": [%s]}' % b",".join([b"{}"] * (MOST_KEYS + 1))),
        (200, b'{"keys": [%s]}' % (b" " * LARGEST_BYTES)),
    ],
    ids=lambda what: str(what)[:24],
)
async def test_keys_stay_good_while_the_url_answers_nonsense(status, body):
    async with issuing(jwk(ED, kid="a")) as (issuer, authority, clock):
        assert await authority.authenticate(signed())
        issuer.status, issuer.body = status, body
        for _ in range(2):
            clock.now += LIFETIME_SECONDS
            assert await authority.authenticate(signed())
        assert issuer.asked == 3  # and a redirection leads nowhere


async def test_without_any_key_nobody_can_be_told_from_anybody():
    async with issuing() as (issuer, authority, clock):
        await refused(authority, signed(), "unavailable")
        issuer.keys = [jwk(ED, kid="a")]
        clock.now += 5
        assert await authority.authenticate(signed())


async def test_nobody_waits_for_a_url_that_hangs_but_who_asks_it():
    async with issuing(jwk(ED, kid="a")) as (issuer, authority, clock):
        assert await authority.authenticate(signed())
        clock.now += LIFETIME_SECONDS
        issuer.hold = asyncio.Event()
        asking = asyncio.create_task(authority.authenticate(signed()))
        while issuer.asked < 2:  # noqa: ASYNC110 - the program that is asked tells nobody
            await asyncio.sleep(0)
        assert await authority.authenticate(signed())
        assert not asking.done()
        issuer.hold.set()
        assert await asking


@pytest.mark.parametrize(
    ("url", "allow", "code"),
    [
        ("http://login.example.org/keys", (), "forbidden"),
        ("http://192.0.2.1/keys", (), "forbidden"),
        ("https://10.0.0.1/keys", (), "forbidden"),
        ("https://u:p@login.example.org/keys", (), "invalid"),
        ("ftp://login.example.org/keys", (), "invalid"),
        ("keys", (), "invalid"),
        ("https://[::1", (), "invalid"),
        ("https://login.example.org/keys", (), None),
        ("http://localhost:8000/keys", (), None),
        ("http://[::1]:8000/keys", (), None),
        ("https://10.0.0.1/keys", ("10.0.0.0/8",), None),
        ("http://login.internal/keys", ("http://login.internal",), None),
    ],
)
def test_keys_come_by_https_unless_the_operator_says_otherwise(url, allow, code):
    if code is None:
        Jwks(url, allow=allow)
        return
    with pytest.raises(ContractError) as error:
        Jwks(url, allow=allow)
    assert error.value.code == code


async def test_a_name_that_leads_inside_is_not_asked():
    jwks = Jwks("https://localtest.invalid/keys")
    with pytest.raises(ContractError) as error:
        await jwks.key("a", "EdDSA")
    assert error.value.code == "unavailable"
    assert not jwks._keys


async def test_only_tokens_of_the_issuers_that_are_named_are_taken():
    async with issuing(jwk(ED, kid="a")) as (_, authority, _):
        issuers = ("https://login.example", "https://other.example")
        named = Authenticator(
            secret=SharedSecret(SECRET, issuers=issuers), jwks=authority._jwks, issuers=issuers
        )
        for issuer in issuers:
            assert (await named.authenticate(signed(iss=issuer))).tenant == issuer
        shared = SharedSecret(SECRET).issue("p", "*", ("join",), None, 60, issuer=issuers[1])
        assert await named.authenticate(shared)
        for odd in (
            {"iss": "https://evil.example"},
            {"iss": ...},
            {"iss": None},
            {"iss": ""},
            {"iss": 7},
        ):
            await refused(named, forged(**odd))
        await refused(named, SharedSecret(SECRET).issue("p", "*", ("join",), None, 60))


async def test_tokens_of_the_secret_before_are_good_until_it_is_forgotten():
    old, new = "the secret of last year, long enough", "the secret of this year, long enough"
    token = SharedSecret(old).issue("p-anna", "*", ("join",), None, 60)
    fresh = SharedSecret(new).issue("p-anna", "*", ("join",), None, 60)
    both = Authenticator(secret=SharedSecret(new, previous=old))
    assert (await both.authenticate(token)).subject == "p-anna"
    assert (await both.authenticate(fresh)).subject == "p-anna"
    await refused(Authenticator(secret=SharedSecret(new)), token)
    expired = SharedSecret(old).issue("p-anna", "*", ("join",), None, -60)
    await refused(both, expired)


async def test_until_when_a_token_is_good_is_known():
    until = int(time.time()) + 60
    who = await Authenticator(secret=SharedSecret(SECRET)).authenticate(
        SharedSecret(SECRET).issue("p", "*", ("join",), None, 60)
    )
    assert who.good_until is not None
    assert until <= who.good_until <= until + 10
