"""The watch over logs finds what must not be there, and passes what servers do log."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import log_watch
from tests.recordings import our_voices

LEAKS = {
    "a token": "refused token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwLWFubmEifQ.c2lnbmF0dXJlIG9mIGl0",
    "a bearer": "request headers='Authorization: Bearer abcdefgh1234'",
    "a secret of webhooks": "sent key=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "a password in a URL": "lost url=redis://user:pass@127.0.0.1:6379",
    "SDP": "offer sdp='v=0\\r\\na=ice-pwd:abcdefghijklmnopqrstuv'",
    "a fingerprint": "dtls fingerprint=" + ":".join(["AB"] * 32),
    "a candidate": "left out why='candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host'",
    "a name": "joined name=Anna",
    "the id of a participant": "joined participant=p-0123456789ab",
    "the id of a call": "begun call=test-0123abcd",
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_line_with_it_is_found(what):
    assert any(found.startswith(what) for found in log_watch.found_in(LEAKS[what]))


def test_a_caption_is_found_by_three_words_of_it():
    words = our_voices()[0].text.split()[2:5]
    [found] = log_watch.found_in(f'{{"event": "final", "text": "… {" ".join(words)} …"}}')
    assert found.startswith("what was said")


def test_what_servers_log_is_passed():
    lines = (
        "2026-11-28T07:02:36Z [info     ] refused [signaling.http] code=not_found method=GET\n"
        "2026-11-28T07:02:36Z [info     ] stream began [media.ssrcs] participant=0a1b2c3d4e5f"
    )
    assert list(log_watch.found_in(lines)) == []


CAPTION = """
import structlog
from surtitle import logs

logs.configure("json", secret="s" * 32)
log = structlog.get_logger("signaling.test")
log.info("stream began", participant="p-anna", call="test-0123abcd")
log.info("stream began", participant="p-anna")
try:
    {}["what Anna said"]
except KeyError:
    log.exception("event failed")
"""


def test_ids_are_logged_as_the_same_hash_and_exceptions_without_what_they_quote():
    done = subprocess.run(
        [sys.executable, "-c", CAPTION], capture_output=True, text=True, check=True
    )
    first, again, failed = done.stderr.splitlines()
    assert "p-anna" not in first
    assert "test-0123abcd" not in first
    assert '"participant": "' in first
    hashes = [line.partition('"participant": "')[2][:12] for line in (first, again)]
    assert hashes[0] == hashes[1]
    assert "KeyError" in failed
    assert "said" not in failed.replace('{}[\\"what Anna said\\"]', "")
