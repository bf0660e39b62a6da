"""Speech to captions: types, endpointing, recognition, agreement, export formats.

Nothing here knows of networks or databases. PCM comes in as `PcmChunk`s, captions
go out as `Caption`s; whoever feeds and publishes them lives in `media`. Endpointing,
agreement and the captioner are pure state machines: no clock, no I/O, no tasks.
"""

import os

# ONNX Runtime would keep a database of what it runs on, and send it to its maker, by itself.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
