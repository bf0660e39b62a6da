"""How much was said, for who bills it: a ledger of finals that holds no words.

`ledger.py` is what the transcript store keeps, `recorder.py` fills it behind each final that is
written, `http.py` adds it up. Erasing a transcript leaves it. See docs/usage.md.
"""
