"""A call's own fault, logged once: clean-up goes on, and so do the other calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from signaling.errors import ContractError

log = structlog.get_logger(__name__)


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Log whatever is raised within as `what`, and go on behind the block."""
    try:
        yield
    except ContractError as error:
        log.info(what, code=error.code, why=error.logged)
    except Exception:
        log.exception(what)
