"""The recognizer's process: loads the model, answers batches of windows, ends with its parent.

One thread reads, `workers` threads recognize (CTranslate2 releases the GIL), and whoever is
done writes.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol

from captions.engine_wire import LENGTH, Answer, EngineSettings, Question, packed
from captions.types import Hypothesis
from captions.window import ModelInfo, Window


class RecognizesBatches(Protocol):
    """What the process is for; `captions.recognizer.Recognizer` is the real one."""

    def recognize_batch(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """The most likely text of each window; called from several threads at once."""


def heard(recognizer: RecognizesBatches, windows: Sequence[Window]) -> list[Hypothesis | str]:
    """A hypothesis of each window, or why there is none.

    Where a batch fails its windows are tried one by one: one window's trouble is not its
    neighbors', and what is too much for the device at once may not be in parts.
    """
    try:
        return list(recognizer.recognize_batch(windows))
    except Exception as error:  # whatever it is, the model is still good
        if len(windows) == 1:
            return [f"{type(error).__name__}: {error}"]
    return [answer for window in windows for answer in heard(recognizer, [window])]


def _read(stream: IO[bytes]) -> Any:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return pickle.loads(body)  # noqa: S301 - our own parent


def _work(
    recognizer: RecognizesBatches,
    questions: queue.Queue[Question],
    write: Callable[[object], None],
) -> None:
    while True:
        question = questions.get()
        answers = heard(recognizer, question.windows)
        try:
            write(Answer(question.id, tuple(answers), time.process_time()))
        except OSError:  # nobody reads any more; the main thread is about to find out, too
            return


def serve() -> None:
    """The process's whole life."""
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

    settings: EngineSettings = _read(sys.stdin.buffer)
    begun = time.monotonic()
    try:
        from captions.recognizer import Recognizer

        recognizer = Recognizer(
            settings.model, settings.device, settings.threads, workers=settings.workers
        )
    except (RuntimeError, ValueError, OSError) as error:
        write(str(error))
        return
    seconds = time.monotonic() - begun
    write(ModelInfo(settings.name, recognizer.languages, recognizer.device, seconds))
    # The parent has no more than `workers` questions on their way.
    questions: queue.Queue[Question] = queue.Queue(settings.workers)
    for _ in range(settings.workers):
        work = threading.Thread(target=_work, args=(recognizer, questions, write), daemon=True)
        work.start()
    while True:
        questions.put(_read(sys.stdin.buffer))


def main() -> None:
    """Serve until the parent is gone."""
    try:
        serve()
    except (EOFError, BrokenPipeError):
        # At once: threads that still recognize would crash in an interpreter that ends.
        os._exit(0)


if __name__ == "__main__":
    main()
