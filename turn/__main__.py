"""`python -m turn`: prints coturn's configuration, of `TURN_…` variables (docs/turn.md).

`python -m turn allocations`: how many there are, asked where coturn runs.
"""

from __future__ import annotations

import os
import sys

from turn.allocations import allocations
from turn.coturn import Coturn


def main(arguments: list[str]) -> int:
    """The exit status."""
    if arguments not in ([], ["allocations"]):
        print(__doc__, file=sys.stderr)  # noqa: T201 - the command's output
        return 2
    try:
        coturn = Coturn.from_environment(os.environ)
    except ValueError as error:
        print(f"turn: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return 1
    if arguments:
        print(allocations(coturn.min_port, coturn.max_port))  # noqa: T201 - the command's output
    else:
        print(coturn.configuration(), end="")  # noqa: T201 - the command's output
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
