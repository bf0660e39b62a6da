"""Speech to captions: types, endpointing, recognition, agreement, export formats.

Nothing here knows of networks or databases. PCM comes in as `PcmChunk`s, captions
go out as `Caption`s; whoever feeds and publishes them lives in `media`. Endpointing,
agreement and the captioner are pure state machines: no clock, no I/O, no tasks.
"""
