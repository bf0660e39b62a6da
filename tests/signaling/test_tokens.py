"""Tokens: what is taken, and everything that is not."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import ContractError
from signaling.tokens import AUDIENCE, GRANTS, Everybody, Identity, SharedSecret

SECRET = "a secret of the tests, long enough for HS256 and even for HS512 too"
AUTHORITY = SharedSecret(SECRET)


def claims(**more) -> dict:
    good = {
        "aud": AUDIENCE,
        "exp": int(time.time()) + 60,
        "sub": "p-anna",
        "call": "standup-42",
        "grants": ["join"],
    }
    return {name: value for name, value in (good | more).items() if value is not ...}


def token(**more) -> str:
    # Signed as bytes: PyJWT itself would refuse to make some of these.
    return jwt.api_jws.encode(json.dumps(claims(**more)).encode(), SECRET, algorithm="HS256")


def refused(what) -> str:
    with pytest.raises(ContractError) as error:
        AUTHORITY.identify(what)
    assert error.value.code == "unauthorized"
    return error.value.message


def test_a_token_tells_who_may_do_what_in_which_call():
    who = AUTHORITY.identify(token(name="Anna", grants=["join", "publish"]))
    assert who == Identity("p-anna", "Anna", "standup-42", frozenset({"join", "publish"}))


def test_who_issued_a_token_is_the_tenant():
    assert AUTHORITY.identify(token()).tenant == ""
    assert AUTHORITY.identify(token(iss="https://acme.example")).tenant == "https://acme.example"
    for odd in (7, None, ["acme"], "x" * 257, "\ud800"):
        refused(token(iss=odd))


def test_an_issued_token_is_taken_and_expires():
    issued = AUTHORITY.issue("p-anna", "*", ("read", "manage"), None, 60)
    assert AUTHORITY.identify(issued) == Identity(
        "p-anna", None, "*", frozenset({"read", "manage"})
    )
    decoded = jwt.decode(issued, SECRET, algorithms=["HS256"], audience=AUDIENCE)
    assert decoded["exp"] <= time.time() + 60
    assert "expired" in refused(AUTHORITY.issue("p-anna", "*", GRANTS, "Anna", -60))


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_a_token_nobody_is_let_in(nothing):
    assert "needed" in refused(nothing)


def test_an_unsigned_token_is_refused():
    unsigned = jwt.encode(claims(), None, algorithm="none")
    refused(unsigned)
    head, body, _ = token().split(".")
    refused(f"{head}.{body}.")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for signature in ("", token().split(".")[2]):
        refused(f"{none}.{body}.{signature}")


def test_a_token_signed_with_anything_else_is_refused():
    refused(jwt.encode(claims(), SECRET + "!", algorithm="HS256"))
    refused(jwt.encode(claims(), SECRET, algorithm="HS512"))
    refused(jwt.encode(claims(), Ed25519PrivateKey.generate(), algorithm="EdDSA"))


def test_a_token_that_was_changed_is_refused():
    head, _, signature = token().split(".")
    other = token(grants=["manage"]).split(".")[1]
    refused(f"{head}.{other}.{signature}")


def test_clocks_may_differ_a_little():
    now = int(time.time())
    assert AUTHORITY.identify(token(exp=now - 2)).subject == "p-anna"
    refused(token(exp=now - 60))
    refused(token(nbf=now + 600))


@pytest.mark.parametrize(
    "odd",
    [
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": ...},
        {"aud": None},
        {"aud": 7},
        {"exp": ...},
        {"exp": None},
        {"exp": 0},
        {"exp": -1},
        {"exp": "tomorrow"},
        {"exp": []},
        {"exp": {}},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"sub": ...},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "x" * 129},
        {"sub": "a b"},
        {"sub": "a\n"},
        {"call": ...},
        {"call": None},
        {"call": "a/b"},
        {"call": "**"},
        {"call": ["a"]},
        {"call": {"$ne": ""}},
        {"grants": ...},
        {"grants": None},
        {"grants": "join"},
        {"grants": [1]},
        {"grants": {"join": True}},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 129},
        {"name": 7},
        {"name": ["Anna"]},
        {"name": "\ud800"},
    ],
    ids=repr,
)
def test_odd_claims_are_refused(odd):
    refused(token(**odd))


@pytest.mark.parametrize("payload", [b"[]", b"7", b'"x"', b"null", b"", b"{", b"\xff"])
def test_a_payload_that_is_no_object_is_refused(payload):
    refused(jwt.api_jws.encode(payload, SECRET, algorithm="HS256"))


@pytest.mark.parametrize(
    "odd",
    [
        "a",
        "a.b",
        "a.b.c",
        "..",
        "é.é.é",
        "\x00",
        "\ud800",
        "\udcff.\udcff.\udcff",
        "x" * 100_000,
        base64.urlsafe_b64encode(b"[" * 9000).decode().rstrip("=") + ".e30.x",
        base64.urlsafe_b64encode(b'{"alg":["HS256"]}').decode().rstrip("=") + ".e30.x",
        base64.urlsafe_b64encode(b'{"alg":"HS256","crit":7}').decode().rstrip("=") + ".e30.x",
    ],
    ids=lambda odd: ascii(odd)[:20],
)
def test_what_is_no_token_is_refused(odd):
    refused(odd)


@settings(deadline=None, derandomize=True)
@given(st.one_of(st.text(), st.lists(st.text(), min_size=3, max_size=3).map(".".join)))
def test_arbitrary_text_is_refused_and_nothing_else_happens(text):
    refused(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from(
            ["aud", "exp", "nbf", "iat", "iss", "sub", "jti", "call", "grants", "name"]
        ),
        JSON,
        max_size=4,
    )
)
def test_arbitrary_claims_are_an_identity_or_refused(odd):
    signed = token(**odd)
    try:
        who = AUTHORITY.identify(signed)
    except ContractError as error:
        who = error
    assert isinstance(who, Identity) or who.code == "unauthorized"


def test_the_error_says_what_is_wrong_and_never_what_the_token_was():
    assert "grants" in refused(token(grants="join"))
    assert "p-secret!" not in refused(token(sub="p-secret!"))


def test_claims_of_tomorrow_are_ignored():
    who = AUTHORITY.identify(token(theme="dark", grants=["join", "fly"]))
    assert who.grants == {"join", "fly"}


def test_a_grant_is_required_by_name():
    who = AUTHORITY.identify(token(grants=["join", "read"]))
    who.require("join")
    for grant in ("watch", "publish", "manage"):
        with pytest.raises(ContractError, match=grant) as error:
            who.require(grant, "standup-42")
        assert error.value.code == "forbidden"


@pytest.mark.parametrize("other", ["standup-4", "standup-421", "Standup-42", "*", ""])
def test_a_token_for_one_call_is_for_no_other(other):
    who = AUTHORITY.identify(token(grants=["read"]))
    who.require("read", "standup-42")
    with pytest.raises(ContractError) as error:
        who.require("read", other)
    assert error.value.code == "forbidden"


def test_a_token_for_all_calls_is_for_any():
    who = AUTHORITY.identify(token(call="*", grants=["read"]))
    who.require("read", "anything")
    who.require("read", "*")


@pytest.mark.parametrize("anything", [None, "", "rubbish"])
def test_without_a_secret_everybody_may_do_everything(anything):
    who = Everybody().identify(anything)
    assert who.subject is None
    for grant in GRANTS:
        who.require(grant, "any-call")
