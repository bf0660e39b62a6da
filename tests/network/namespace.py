"""The network that these tests run in: a namespace of their own, where nothing else is.

Janus and Chromium leave loopback out when they gather candidates and aioice leaves out
127.0.0.1. A veth pair with another address of 127.0.0.0/8 serves all of them, and nothing
sent to it can leave the namespace.
"""

from __future__ import annotations

import socket
import subprocess

ADDRESS = "127.77.0.1"
"""Where everything listens and sends from."""

_PAIR = ("v0", "v1")


def inside() -> bool:
    """Whether this process is in such a namespace."""
    return {name for _, name in socket.if_nameindex()} == {"lo", *_PAIR}


def set_up() -> None:
    """Make the network, in a namespace that has none."""
    for command in (
        "link set lo up",
        f"link add {_PAIR[0]} type veth peer name {_PAIR[1]}",
        f"addr add {ADDRESS}/32 dev {_PAIR[0]}",
        f"link set {_PAIR[0]} up",
        f"link set {_PAIR[1]} up",
    ):
        subprocess.run(["ip", *command.split()], check=True)


def command() -> list[str]:
    """What a command is prefixed with to run in a namespace; empty where none is allowed."""
    for prefix in (["unshare", "-n"], ["unshare", "-Urn"]):
        tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return prefix
    return []


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        return int(taken.getsockname()[1])
