"""A process asks for as many files as it may have."""

from __future__ import annotations

import subprocess
import sys


def test_a_low_limit_is_raised_as_far_as_it_goes():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 3000));"
        "from surtitle.limits import allow_many_files; allow_many_files();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(3000, 3000)\n"
