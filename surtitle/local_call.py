"""A server for one call on loopback, for `surtitle demo` and `surtitle caption`."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from surtitle.embedded import serve
from surtitle.settings import Settings


@asynccontextmanager
async def local_server(
    model: str, device: str, speakers: int, final_model: str = ""
) -> AsyncIterator[str]:
    """The URL of a server on 127.0.0.1 whose store is gone with it."""
    with tempfile.TemporaryDirectory(prefix="surtitle-") as folder:
        settings = Settings(
            port=0,
            model=model,
            final_model=final_model,
            device=device,
            data=Path(folder),
            advertise="127.0.0.1",
            capacity=speakers,
        )
        async with serve(settings) as gateway:
            yield gateway.url
