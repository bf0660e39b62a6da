"""How much anybody may ask of the server: rates, and what may be open at once.

`rules.py` has every number, `limiter.py` applies them, `store.py` remembers who asked for how much:
within a process, or on Redis for all gateways (`signaling/redis/limits.py`). Nothing here is asked
on the way of audio, or of a caption to its readers.
"""
