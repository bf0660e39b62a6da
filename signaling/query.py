"""What a request's query says, checked; `ContractError` `invalid` names the parameter."""

from __future__ import annotations

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from signaling.errors import ContractError


def valid(adapter: TypeAdapter[str], name: str, value: str) -> str:
    """The value, where the type takes it."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ContractError("invalid", f"{name}: {error.errors()[0]['msg']}") from None


def flag(request: web.Request, name: str) -> bool | None:
    """False where it says `false` or `0`, None where it is not given."""
    text = request.query.get(name)
    return None if text is None else text.lower() not in ("false", "0")


def digits(request: web.Request, name: str) -> int | str | None:
    """A number where it is one; whatever else it is, for a model to refuse; None without it."""
    text = request.query.get(name)
    return int(text) if text and text.isascii() and text.isdigit() else text


def number(
    request: web.Request, name: str, default: int | None, least: int, most: int
) -> int | None:
    """A whole number in decimal digits, `default` where it is not given."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 19 or not least <= int(text) <= most:
        raise ContractError("invalid", f"{name}: a number from {least} to {most}")
    return int(text)
