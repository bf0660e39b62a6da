"""Captions on their way back to an SFU: neither recognition nor the bus waits for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

import structlog

from captions.types import Caption
from media.source import CallSource
from signaling.errors import told

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 256
"""Utterances whose newest caption waits for a slow SFU; the oldest makes room."""


class CaptionsBack:
    """Of each utterance the newest caption waits, and is sent in turn."""

    def __init__(self, source: CallSource) -> None:
        self._source = source
        self._waiting: OrderedDict[tuple[str, str, str], Caption] = OrderedDict()
        self._news = asyncio.Event()
        self._closed = False
        self._failing = False
        self.dropped = 0
        """Captions that the SFU was too slow for."""

    def put(self, caption: Caption) -> None:
        """Send it when its turn comes. It stands for an older revision that still waits."""
        self._waiting[caption.key] = caption
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)
            self.dropped += 1
        self._news.set()

    def close(self) -> None:
        """`run` returns behind what waits."""
        self._closed = True
        self._news.set()

    async def run(self) -> None:
        """Send until closed. A fault is the SFU's: logged once, and captions go on."""
        while self._waiting or not self._closed:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
                continue
            _, caption = self._waiting.popitem(last=False)
            try:
                await self._source.send(caption)
            except Exception as error:
                if not self._failing:
                    log.warning("captions not carried back", error=told(error))
                self._failing = True
            else:
                self._failing = False
