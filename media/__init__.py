"""The node: sources of calls, RTP to PCM, one speaker's pipeline, one call, all calls.

A packet's way: `sources/` (a file an SFU: who sends what) → `peer` and `aiortc_private`, or
`udp` and `srtp` (datagram to packet, by `rtp`) → `track` → `receiver` (RTP to PCM, by
`reorder`, `clock` and `opus`) → `speaker` (PCM to captions, by `captions.captioner` and the
scheduler) → the bus. `call` runs a call's sources. Of `signaling` only the messages, the
bus, the registry and the errors are known here.
"""
