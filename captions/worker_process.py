"""A worker's process: loads what it is for, answers batches, ends with its parent.

One thread reads, `workers` threads answer (what they call releases the GIL), and whoever is
done writes.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from captions.worker_wire import Answers, Batch, Failure, WorkerSettings, packed, read

Answer = Callable[[Sequence[Any]], Sequence[Any]]
"""Answers a batch of questions, in their order; called from several threads at once."""

Load = Callable[[Any], tuple[Any, Answer]]
"""Loads what settings name: what the process says of itself, and what answers.

Raises OSError, RuntimeError, ValueError or ImportError where it cannot.
"""


def answered(answer: Answer, questions: Sequence[Any]) -> list[Any]:
    """An answer to each question, or a `Failure`.

    Where a batch fails its questions are tried one by one: one's trouble is not its
    neighbors', and what is too much for the device at once may not be in parts.
    """
    try:
        return list(answer(questions))
    except Exception as error:  # whatever it is, what was loaded is still good
        if len(questions) == 1:
            return [Failure(f"{type(error).__name__}: {error}")]
    return [one for question in questions for one in answered(answer, [question])]


def _work(answer: Answer, batches: queue.Queue[Batch], write: Callable[[object], None]) -> None:
    while True:
        batch = batches.get()
        answers = answered(answer, batch.questions)
        try:
            write(Answers(batch.id, tuple(answers), time.process_time()))
        except OSError:  # nobody reads any more; the main thread is about to find out, too
            return


def _serve(load: Load) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    writing = threading.Lock()

    def write(message: object) -> None:
        body = packed(message)
        with writing:
            answers.write(body)
            answers.flush()

    settings: WorkerSettings = read(sys.stdin.buffer)
    try:
        info, answer = load(settings)
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        write(Failure(str(error)))
        return
    write(info)
    # The parent has no more than `workers` batches on their way.
    batches: queue.Queue[Batch] = queue.Queue(settings.workers)
    for _ in range(settings.workers):
        threading.Thread(target=_work, args=(answer, batches, write), daemon=True).start()
    while True:
        batches.put(read(sys.stdin.buffer))


def serve(load: Load) -> None:
    """The process's whole life: until the parent is gone."""
    try:
        _serve(load)
    except (EOFError, BrokenPipeError):
        # At once: threads that still work would crash in an interpreter that ends.
        os._exit(0)
