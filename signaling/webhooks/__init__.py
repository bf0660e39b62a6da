"""What becomes of calls, told to other programs over HTTP, as Standard Webhooks has it.

`announcer.py` makes deliveries of what happens, `targets.py` says to whom, the transcript store
keeps them (`delivery.py` is the Protocol), and `deliverer.py` of every gateway sends what is due
until it is taken or given up. See https://www.standardwebhooks.com and docs/webhooks.md.
"""
