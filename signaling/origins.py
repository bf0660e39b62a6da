"""Which web pages may connect: the server's own, and those of the origins that are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import web

from signaling.errors import ContractError


class Origins:
    """For python-engineio's `cors_allowed_origins`, whose lists leave the server's own out."""

    def __init__(self, named: Iterable[str]) -> None:
        """`named` are origins (RFC 6454) such as `https://www.example.com`; `*` is any."""
        self._named = frozenset(named)

    def __call__(self, origin: str | None, environ: Mapping[str, str]) -> bool:
        """Whether a page of this origin may, by its request's WSGI environment."""
        if "*" in self._named or origin in self._named:
            return True
        return origin is not None and origin in _own(environ)

    def check(self, request: web.Request) -> None:
        """`ContractError` `forbidden` where the request is of a page that may not connect."""
        if not self.allows(request):
            raise ContractError("forbidden", "pages of this origin may not connect")

    def allows(self, request: web.Request) -> bool:
        """Whether the request is of a page that may connect, or of none."""
        headers = request.headers
        environ = {"wsgi.url_scheme": request.scheme, "HTTP_HOST": request.host}
        for name in ("X-Forwarded-Proto", "X-Forwarded-Host"):
            if name in headers:
                environ[f"HTTP_{name.upper().replace('-', '_')}"] = headers[name]
        origin = headers.get("Origin")
        return origin is None or self(origin, environ)


def _own(environ: Mapping[str, str]) -> set[str]:
    """The server's own, as the client and as the proxy before it called it."""
    scheme, host = environ.get("wsgi.url_scheme"), environ.get("HTTP_HOST")
    if not scheme or not host:
        return set()
    proxied = [
        environ.get(name, otherwise).split(",")[0].strip()
        for name, otherwise in (
            ("HTTP_X_FORWARDED_PROTO", scheme),
            ("HTTP_X_FORWARDED_HOST", host),
        )
    ]
    return {f"{scheme}://{host}", "://".join(proxied)}
