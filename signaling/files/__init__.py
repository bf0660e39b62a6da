"""Files of audio and video that are transcribed behind all live calls, as jobs.

`http.py` takes them into `memory.py`, `transcriptions.py` says who may see and do what through any
gateway, `queue.py` lets them wait, `run.py` captions one. `reader.py` is a process of its own that
reads one, `audio.py` and `messages.py` are the way from there. `jobs.py` is what all gateways know
of them. See docs/files.md.
"""
