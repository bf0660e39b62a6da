"""Janus's API as the source `janus` uses it: a session, a room, its audio, captions back."""
