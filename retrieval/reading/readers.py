"""Reading one picture, in child processes: what the parent asks for, and the program of the child.

The program is run by ``contents/process.py``, see ``contents/child.py``.
"""

from __future__ import annotations

from retrieval.catalog.records import utc_now
from retrieval.catalog.texts import PictureText, TextLine
from retrieval.contents.child import Answer, serve
from retrieval.contents.process import ContentProcess
from retrieval.reading.models import PACKAGED, Networks
from retrieval.reading.pages import read_file

MOST_SECONDS = 60
"""CPU time per picture; a dense page of 12 megapixels takes 3 s."""


class Reader(ContentProcess):
    """A process that reads; for one thread at a time.

    Args:
        seconds: limit of CPU time per picture.
    """

    def __init__(self, seconds: int = MOST_SECONDS) -> None:
        super().__init__(__name__, seconds)

    def read(self, path: str, content_hash: bytes, width: int, height: int) -> PictureText | None:
        """The text in a picture; otherwise as :meth:`answer`."""
        answer = self.answer(path, content_hash, width, height)
        if answer is None:
            return None
        if "reason" in answer:
            return PictureText(PACKAGED.version, utc_now(), reason=str(answer["reason"]))
        lines = tuple(TextLine(text, sure, tuple(box), tuple(ends)) for text, sure, box, ends in answer["lines"])
        return PictureText(PACKAGED.version, utc_now(), lines)


def lines_of(data: bytes, width: int, height: int, networks: Networks) -> Answer:
    """``lines``: text, confidence, corners and ends of each line of a picture file."""
    return {
        "lines": [
            (line.text, line.confidence, [float(corner) for corner in box.reshape(-1)], list(map(float, line.ends)))
            for line, box in read_file(data, width, height, networks)
        ]
    }


def main() -> None:
    """The child: answer requests until the parent closes the pipe."""
    networks = Networks()
    serve(lambda data, width, height: lines_of(data, width, height, networks))
