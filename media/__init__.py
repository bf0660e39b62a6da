"""The node: sources of calls, RTP to PCM, one speaker's pipeline, one call, all calls.

A packet's way: `sources/` (who sends what) → `receiver` (RTP to PCM) → `speaker` (PCM to
captions, by `captions.captioner` and the scheduler) → the bus. Of `signaling` only the
messages, the bus, the registry and the errors are known here.
"""
