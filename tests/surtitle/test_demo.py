"""`surtitle demo` as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import jiwer

from tests.recordings import normalized, our_voices


def test_the_demo_holds_a_call_and_prints_who_said_what():
    done = subprocess.run(
        [sys.executable, "-m", "surtitle", "demo", "--model", "tiny.en"],
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, "COLUMNS": "400"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("Joe:", "Ada:", "Sam:"))]
    said = normalized(" ".join(f"{r.speaker} {r.text}" for r in our_voices()))
    assert jiwer.wer(said, normalized(" ".join(lines))) <= 0.1
