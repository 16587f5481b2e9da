"""The networks for faces: their files, the check of their hashes, and inference, all by dlib.

The detector of frontal faces (histograms of oriented gradients, N. Dalal and B. Triggs, CVPR 2005) is part of dlib,
under the Boost licence. The five-point landmarks and the embedding (a ResNet of 29 layers, 99.4 % on Labeled Faces in
the Wild) are D. King's, dedicated to the public domain under CC0, shipped by the package ``face_recognition_models``.
Two other files of that package are not used: the landmarks of 68 points, whose training data forbid commercial use, and
the convolutional detector, which takes 10 s of CPU time for a megapixel; the histograms take 0.1 s.

dlib reads these files with its own parser in C++, which executes nothing of them. They are read only if their
SHA-256 is the expected one, and in the child process only, which has limits on memory and time.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.contents.packaged import PackagedFile, PackagedNetworks

PACKAGED = PackagedNetworks(
    version="dlib-hog-resnet29/1",
    holder="face_recognition_models",
    packages=("dlib", "face_recognition_models"),
    install="pip install 'photoseek[cpu,faces]'",
    purpose="faces are found",
)

DIM = 128
"""Values of an embedding."""

_LEAST_SCORE = 0.2  # below it, patterns on clothes were found more often than faces
_PADDING = 0.25  # of the chip around the eyes and the nose, as the embedding was trained
_CHIP = 150  # pixels of its sides

Pixels = NDArray[np.uint8]
"""(h, w, 3) RGB."""


_LANDMARKS = PackagedFile(
    "shape_predictor_5_face_landmarks.dat", "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
)
_EMBEDDING = PackagedFile(
    "dlib_face_recognition_resnet_model_v1.dat", "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
)


class Found(NamedTuple):
    """A detected face: left, top, right and bottom in pixels, and the detector's score (about 1 for a clear face)."""

    box: tuple[int, int, int, int]
    score: float


class Networks:
    """The detector, the landmarks and the embedding; each is loaded on first use.

    Raises:
        EncoderError: a file is missing or has another hash.
    """

    @cached_property
    def _dlib(self) -> Any:
        import dlib

        return dlib

    @cached_property
    def _detector(self) -> Any:
        return self._dlib.get_frontal_face_detector()

    @cached_property
    def _landmarks(self) -> Any:
        return self._dlib.shape_predictor(str(PACKAGED.file(_LANDMARKS)))

    @cached_property
    def _embedding(self) -> Any:
        return self._dlib.face_recognition_model_v1(str(PACKAGED.file(_EMBEDDING)))

    def detected(self, picture: Pixels) -> list[Found]:
        """The faces of at least 80 pixels in a picture, those with the highest score first."""
        boxes, scores, _ = self._detector.run(picture, 0, _LEAST_SCORE)
        return [
            Found((box.left(), box.top(), box.right(), box.bottom()), float(score))
            for box, score in zip(boxes, scores, strict=True)
        ]

    def embedded(self, picture: Pixels, box: tuple[int, int, int, int]) -> NDArray[np.float32]:
        """The embedding of the face in a box, (128,) with unit length."""
        shape = self._landmarks(picture, self._dlib.rectangle(*box))
        chip = self._dlib.get_face_chip(picture, shape, size=_CHIP, padding=_PADDING)
        values = np.asarray(self._embedding.compute_face_descriptor(chip), np.float32)
        return values / max(float(np.linalg.norm(values)), 1e-12)
