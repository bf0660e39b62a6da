"""docs/openapi.yaml says of HTTP what the running server does: schemathesis asks it all sorts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
import schemathesis
from hypothesis import settings
from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from signaling.tokens import GRANTS, SharedSecret
from tests.recordings import ROOT
from tests.server import Server

SECRET = "a secret of thirty-two characters and more"

# A feed's events end with their call: tests/signaling/test_caption_events.py has them.
schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml").exclude(
    operation_id="readCaptions"
)

# What a source needs beside its kind, and SDP, the document tells in words only.
TOLD_IN_WORDS = [positive_data_acceptance]

# What is longer aiohttp refuses before anybody here sees it.
LONGEST_TARGET = 8100


@schemathesis.serializer("application/sdp")
def as_text(_: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory) -> AsyncIterator[Server]:
    """A server that wants tokens; nothing else is done with it."""
    folder = tmp_path_factory.mktemp("guarded")
    async with Server(folder, "--capacity", "1000", "--secret", SECRET) as running:
        yield running


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_server_answers_as_is_documented(case: Case, guarded: Server):
    token = SharedSecret(SECRET).issue("tester", "*", GRANTS, None, 3600)
    # The one header that is documented is given here: a case that is wrong without it is not.
    header = case.meta.components.get(ParameterLocation.HEADER)
    mended = [negative_data_rejection] if header and header.mode.is_negative else []
    response = case.call(base_url=guarded.url, headers={"Authorization": f"Bearer {token}"})
    if response.status_code == 400 and len(response.request.path_url) > LONGEST_TARGET:
        return
    case.validate_response(response, excluded_checks=[*TOLD_IN_WORDS, *mended])
