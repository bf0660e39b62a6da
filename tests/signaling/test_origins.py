"""Which web pages may connect."""

from __future__ import annotations

import pytest

from signaling.origins import Origins

HERE = {"wsgi.url_scheme": "http", "HTTP_HOST": "127.0.0.1:8080"}
PROXIED = {
    **HERE,
    "HTTP_X_FORWARDED_PROTO": "https, http",
    "HTTP_X_FORWARDED_HOST": "calls.example.com",
}


@pytest.mark.parametrize(
    ("named", "origin", "environ", "may"),
    [
        ([], "http://127.0.0.1:8080", HERE, True),
        ([], "http://127.0.0.1:8081", HERE, False),
        ([], "https://calls.example.com", PROXIED, True),
        ([], "https://calls.example.com", HERE, False),
        (["https://www.example.com"], "https://www.example.com", HERE, True),
        (["https://www.example.com"], "http://127.0.0.1:8080", HERE, True),
        (["https://www.example.com"], "https://evil.example", HERE, False),
        (["https://www.example.com"], "null", HERE, False),
        (["https://www.example.com"], None, HERE, False),
        (["*"], "https://evil.example", HERE, True),
        ([], "://", {}, False),
    ],
)
def test_the_server_s_own_pages_may_and_those_that_are_named(named, origin, environ, may):
    assert Origins(named)(origin, environ) is may
