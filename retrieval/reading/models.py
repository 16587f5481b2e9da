"""The two networks for reading text: their files, the check of their hashes, and inference.

They are PaddleOCR's PP-OCRv6 (small), Apache License 2.0, shipped as ONNX files by the package ``rapidocr``. Only these
files of the package are used. Its pipeline also runs on OpenVINO, but imports OpenCV, Shapely, OmegaConf and requests,
downloads missing files, and compiles a new shape for each batch of lines; ours is 400 lines long and needs only OpenCV.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.contents.packaged import PackagedFile, PackagedNetworks
from retrieval.encoders.onnx.encoder import shared_core

Floats = NDArray[np.float32]

PACKAGED = PackagedNetworks(
    version="PP-OCRv6-small/1",
    holder="rapidocr",
    packages=("rapidocr", "cv2", "openvino"),
    install="pip install 'photoseek[cpu,ocr]'",
    purpose="words in pictures are read",
)

_DETECTOR = PackagedFile("PP-OCRv6_det_small.onnx", "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f")
_RECOGNISER = PackagedFile(
    "PP-OCRv6_rec_small.onnx", "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"
)


class Networks:
    """Both networks on OpenVINO; each is loaded on first use.

    Args:
        threads: number of threads of one call.

    Raises:
        EncoderError: a file is missing or has another hash.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    @cached_property
    def _core(self) -> Any:
        return shared_core()

    @cached_property
    def _detector(self) -> Any:
        return self._compiled(self._core.read_model(str(PACKAGED.file(_DETECTOR))))

    @cached_property
    def _recogniser(self) -> tuple[Any, tuple[str, ...]]:
        model = self._core.read_model(str(PACKAGED.file(_RECOGNISER)))
        characters = str(model.get_rt_info()["framework"]["character"].value).split("\n")
        return self._compiled(model), ("", *characters, " ")

    def probabilities(self, pixels: Floats) -> Floats:
        """(h, w) probabilities of text in [0, 1], for (3, h, w) normalised BGR; h and w are divisible by 32."""
        found: Floats = self._detector([pixels[None]])[0][0, 0]
        return found

    def characters(self, lines: Floats) -> Floats:
        """(n, steps, characters) probabilities for (n, 3, 48, w) normalised BGR; the first class is the CTC blank."""
        found: Floats = self._recogniser[0]([lines])[0]
        return found

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The characters for the last axis of :meth:`characters`; the first is empty (blank)."""
        return self._recogniser[1]

    def _compiled(self, model: Any) -> Any:
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self._threads, "NUM_STREAMS": 1}
        return self._core.compile_model(model, "CPU", settings)
