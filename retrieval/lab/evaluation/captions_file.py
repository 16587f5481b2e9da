"""Files with captions of pictures: TSV, CSV, JSON lines, and the splits of COCO and Flickr30k."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from retrieval.errors import QueryError
from retrieval.regular_files import open_regular

_MAX_FILE_BYTES = 1 << 30
_PATH_NAMES = ("path", "image", "file", "filepath", "file_name", "filename", "image_path")
_CAPTION_NAMES = ("caption", "captions", "title", "text", "raw", "comment")
_Line = tuple[str, Sequence[str]]


@dataclass(frozen=True)
class Captions:
    """Captions and their pictures.

    Attributes:
        paths: each picture once, in the order of the file.
        pairs: (row of ``paths``, text): each caption once per picture, even if it is repeated in the file.
    """

    paths: tuple[Path, ...]
    pairs: tuple[tuple[int, str], ...]


def read_captions(file: str | Path) -> Captions:
    """Read captions; paths are relative to the folder of the file.

    * ``.tsv``, ``.txt``: path, tab, caption, and further captions after further tabs; no quotes.
    * ``.csv``: the same with commas, quoted as in spreadsheets.
    * ``.jsonl``: one ``{"path": ..., "caption": ...}`` per line, or ``"captions": [...]``.
    * ``.json``: Karpathy's ``dataset_coco.json`` and ``dataset_flickr30k.json``: the pictures of the ``test`` split
      with their first five captions.

    A picture may occur in several lines. A first line with column names (``path``, ``caption``) is skipped.

    Raises:
        QueryError: the file cannot be read, a line has no caption, or the file is empty; the message names the line.
    """
    path = Path(file).expanduser()
    places: dict[str, int] = {}
    pairs: dict[tuple[int, str], None] = {}
    try:
        with open_regular(path, _MAX_FILE_BYTES) as opened:
            text = io.TextIOWrapper(opened, encoding="utf-8-sig", newline="")
            for name, captions in _lines(text, path.suffix.lower()):
                row = places.setdefault(name, len(places))
                pairs.update(((row, caption.strip()), None) for caption in captions if caption.strip())
    except OSError as error:
        raise QueryError(
            f"cannot read {path}: {error.strerror}", "give a file with a path and a caption a line"
        ) from None
    except UnicodeDecodeError:
        raise QueryError(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    if not pairs:
        raise QueryError(f"{path} holds no captions", "give a file with a path and a caption a line")
    return Captions(tuple(path.parent / name for name in places), tuple(pairs))


def _lines(text: IO[str], suffix: str) -> Iterator[_Line]:
    if suffix == ".jsonl":
        return _json_lines(text)
    if suffix == ".json":
        return _karpathy(text)
    if suffix == ".csv":
        return _columns(csv.reader(text, strict=True))
    return _columns(csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE))


def _columns(rows: Iterable[list[str]]) -> Iterator[_Line]:
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            if not row or (number == 1 and row[0].strip().lower() in _PATH_NAMES):
                continue
            yield _checked(number, row[0], row[1:])
    except csv.Error as error:
        raise QueryError(f"line {number + 1}: {error}", "quote captions as a spreadsheet does") from None


def _json_lines(text: IO[str]) -> Iterator[_Line]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            body = json.loads(line)
        except (ValueError, RecursionError):
            raise QueryError(f"line {number} is not JSON", 'e.g. {"path": "a.jpg", "caption": "a dog"}') from None
        fields: dict[str, Any] = body if isinstance(body, dict) else {}
        captions: Any = next((fields[name] for name in _CAPTION_NAMES if name in fields), [])
        name = next((fields[name] for name in _PATH_NAMES if name in fields), "")
        yield _checked(number, name, [captions] if isinstance(captions, str) else captions)


def _karpathy(text: IO[str]) -> Iterator[_Line]:
    try:
        images = [image for image in json.load(text)["images"] if image["split"] == "test"]
        for number, image in enumerate(images, 1):
            # A few pictures of COCO have six or seven captions; the protocol uses five of each.
            captions = [sentence["raw"] for sentence in image["sentences"][:5]]
            yield _checked(number, str(Path(image.get("filepath", ""), image["filename"])), captions)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise QueryError("this is not Karpathy's JSON", "it has images with filename, split and sentences") from None


def _checked(number: int, path: Any, captions: Any) -> _Line:
    texts = isinstance(captions, list) and all(isinstance(caption, str) for caption in captions)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise QueryError(f"line {number} names no picture", "give a path and a caption")
    if not texts or not any(caption.strip() for caption in captions):
        raise QueryError(f"line {number} has no caption", "give a path and a caption")
    return path.strip(), captions
