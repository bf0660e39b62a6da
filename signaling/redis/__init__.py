"""The bus, the registry and presence on Redis: what gateways and nodes of a cluster share.

Calls are spread over shards by a hash of their id, and all keys of a shard share its hash tag, so
that one Lua script can touch them and a Redis Cluster can spread shards over its nodes. The
scripts are in `lua/`, one a file; `keys.py` names all keys there are.
"""
