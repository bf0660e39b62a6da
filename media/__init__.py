"""The node: sources of calls, RTP to PCM, one speaker's pipeline, one call, all calls.

A packet's way: `sources/` (who sends what) → `aiortc_private` and `rtp` (datagram to packet)
→ `track` → `receiver` (RTP to PCM, by `reorder`, `clock` and `opus`) → `speaker` (PCM to
captions, by `captions.captioner` and the scheduler) → the bus. Of `signaling` only the
messages, the bus, the registry and the errors are known here.
"""
