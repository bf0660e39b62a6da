"""The gateway: Socket.IO, HTTP, tokens; placement of calls, caption bus, transcripts.

Nothing here touches media: a node is known by the `NodeApi` it answers to. Concrete
classes are built and wired in `surtitle`, nowhere else.
"""
