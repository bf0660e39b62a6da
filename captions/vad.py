"""Voice activity: how likely each 32 ms of a track is speech (Silero VAD v6, ONNX)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from captions.types import Samples

FRAME: Final = 512
"""Samples that Silero judges at a time, 32 ms."""

_CONTEXT: Final = 64
"""Samples of the frame before that the model wants to see again."""

_STATE: Final = (1, 1, 128)


@cache
def _session() -> object:
    import faster_whisper
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # The model is the one that faster-whisper ships; nothing else is fetched.
    path = Path(faster_whisper.__file__).parent / "assets" / "silero_vad_v6.onnx"
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


class VoiceActivity:
    """Silero's state over one track. About 0.1 ms of CPU a frame; not thread-safe."""

    def __init__(self) -> None:
        self._session = _session()
        self.reset()

    def reset(self) -> None:
        """Forget what was heard, as after a gap."""
        self._h = np.zeros(_STATE, np.float32)
        self._c = np.zeros(_STATE, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)

    def __call__(self, frames: Samples) -> npt.NDArray[np.float32]:
        """Probability of speech, 0 to 1, of each frame.

        `frames` is int16, shape (n * FRAME,); the result has shape (n,).
        """
        signal = frames.astype(np.float32) / 32768
        count = len(signal) // FRAME
        window = np.empty((count, _CONTEXT + FRAME), np.float32)
        window[:, _CONTEXT:] = signal.reshape(count, FRAME)
        window[0, :_CONTEXT] = self._context
        window[1:, :_CONTEXT] = window[:-1, -_CONTEXT:]
        self._context = window[-1, -_CONTEXT:].copy()
        output, self._h, self._c = self._session.run(  # type: ignore[attr-defined]
            None, {"input": window, "h": self._h, "c": self._c}
        )
        probabilities: npt.NDArray[np.float32] = output.reshape(count)
        return probabilities
