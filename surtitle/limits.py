"""What the system lets a process have."""

from __future__ import annotations

import resource


def allow_many_files() -> None:
    """As many open files as this process may ask for: every client is one.

    Where a process starts with room for a thousand, it may have far more if it asks.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
