"""Looking for faces in one picture, in child processes: what the parent asks for, and the program of the child.

The program is run by ``contents/process.py``, see ``contents/child.py``.
"""

from __future__ import annotations

import numpy as np

from retrieval.catalog.faces import PictureFaces, SeenFace
from retrieval.catalog.records import utc_now
from retrieval.contents.child import Answer, serve
from retrieval.contents.process import ContentProcess
from retrieval.faces.looking import faces_of
from retrieval.faces.models import PACKAGED, Networks

MOST_SECONDS = 60
"""CPU time per picture; one with 100 faces takes 14 s."""


class Finder(ContentProcess):
    """A process that looks for faces; for one thread at a time.

    Args:
        seconds: limit of CPU time per picture.
    """

    def __init__(self, seconds: int = MOST_SECONDS) -> None:
        super().__init__(__name__, seconds)

    def read(self, path: str, content_hash: bytes, width: int, height: int) -> PictureFaces | None:
        """The faces in a picture; otherwise as :meth:`answer`."""
        answer = self.answer(path, content_hash, width, height)
        if answer is None:
            return None
        if "reason" in answer:
            return PictureFaces(PACKAGED.version, utc_now(), reason=str(answer["reason"]))
        faces = tuple(
            SeenFace(tuple(box), score, np.frombuffer(bytes.fromhex(embedding), "<f4"))
            for box, score, embedding in answer["faces"]
        )
        return PictureFaces(PACKAGED.version, utc_now(), faces)


def answer_of(data: bytes, networks: Networks) -> Answer:
    """``faces``: box, score, and the embedding as hexadecimal float32, of each face of a picture file."""
    return {
        "faces": [
            (face.box, face.score, face.embedding.astype("<f4").tobytes().hex()) for face in faces_of(data, networks)
        ]
    }


def main() -> None:
    """The child: answer requests until the parent closes the pipe."""
    networks = Networks()
    serve(lambda data, _width, _height: answer_of(data, networks))
