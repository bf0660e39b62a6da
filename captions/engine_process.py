"""The recognizer's process: loads the model and recognizes batches of windows."""

from __future__ import annotations

import time

from captions.engine import EngineSettings
from captions.window import ModelInfo
from captions.worker_process import Answer, serve


def load(settings: EngineSettings) -> tuple[ModelInfo, Answer]:
    """The model; RuntimeError, ValueError or OSError where it cannot be loaded."""
    begun = time.monotonic()
    from captions.recognizer import Recognizer

    try:
        recognizer = Recognizer(
            settings.model, settings.device, settings.threads, workers=settings.workers
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise RuntimeError(f"the model in {settings.model} cannot be loaded: {error}") from error
    seconds = time.monotonic() - begun
    # Turbo models were not taught to translate.
    translates = recognizer.multilingual and "turbo" not in settings.name
    info = ModelInfo(
        settings.name, recognizer.languages, recognizer.device, seconds, translates=translates
    )
    return info, recognizer.recognize_batch


def main() -> None:
    """Serve until the parent is gone."""
    serve(load)


if __name__ == "__main__":
    main()
