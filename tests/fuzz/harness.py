"""What the targets share: a corpus that is kept, limits, and the call of libFuzzer.

    python -m tests.fuzz.TARGET [SECONDS [FILE …]]

With files, each is run once: so is a finding reproduced. Exits with 0 unless there was a
finding; the input that made it is then in `.cache/fuzz/TARGET/`.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris
import structlog

ROOT = Path(__file__).parents[2]

SECONDS = 60
HANG_SECONDS = 10
MOST_MEGABYTES = 1200
"""Instrumented code, corpus and coverage take some 300; what grows input by input, the rest."""


def run(name: str, one: Callable[[bytes], None], seeds: Iterable[bytes], longest: int) -> None:
    """Fuzz `one` by the command line's arguments. Does not return."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    seconds, *files = sys.argv[1:] or [str(SECONDS)]
    folder = ROOT / ".cache" / "fuzz" / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed[:longest])
    limits = [f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MOST_MEGABYTES}", "-verbosity=1"]
    what = files or [str(corpus), f"-max_total_time={seconds}", "-print_final_stats=1"]
    places = [f"-artifact_prefix={folder}/", f"-max_len={longest}", "-len_control=0"]
    atheris.Setup([name, *limits, *places, *what], one)
    atheris.Fuzz()
