"""API keys of servers, beside JWT: made and revoked by an operator, kept as hashes.

`keys.py` is what the transcript store keeps, `keyring.py` tells by it who a caller is. See
docs/tokens.md.
"""
