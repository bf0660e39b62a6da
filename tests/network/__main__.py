"""`python -m tests.network [pytest's arguments]`: the tests that need a network of their own.

They meet a real Janus, coturn and Chromium in a network namespace. Where this machine allows
none the tests fail: they are never skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network import namespace

FOLDER = Path(__file__).parent
INSIDE = "--inside"


def main(arguments: list[str]) -> int:
    """pytest's exit status, or 1 where there can be no namespace."""
    if arguments[:1] == [INSIDE]:
        namespace.set_up()
        named = any(Path(each.split("::")[0]).exists() for each in arguments[1:])
        return int(pytest.main([*arguments[1:], *([] if named else [str(FOLDER)])]))
    missing = [each for each in ("unshare", "ip") if not shutil.which(each)]
    prefix = [] if missing else namespace.command()
    if not prefix:
        why = f"{' and '.join(missing)} not found" if missing else "unshare is not allowed here"
        print(f"tests/network needs a network namespace: {why}", file=sys.stderr)
        return 1
    command = [*prefix, sys.executable, "-m", "tests.network", INSIDE, *arguments]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
