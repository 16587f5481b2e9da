"""How well faces are found and grouped, on folders of portraits, one folder for each person; and what that costs.

    python -m benchmarks.faces FOLDER [--persons N] [--each N]

Every picture must show the person of its folder in its middle, as Labeled Faces in the Wild does. Detection: the share
of pictures in which a face covers the middle, and the number of other faces found (some are people in the background).
Grouping: precision and recall over pairs of the faces in the middle: of the pairs in one group, how many are one
person; and of the pairs of one person, how many are in one group.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from retrieval.catalog.faces import FaceVectors
from retrieval.faces.grouping import grouped
from retrieval.faces.looking import Face, faces_of
from retrieval.faces.models import DIM, Networks

_SIZES = ((1155, 866), (4000, 3000))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder with one folder of portraits for each person")
    parser.add_argument("--persons", type=int, default=100)
    parser.add_argument("--each", type=int, default=10, help="pictures of each person")
    given = parser.parse_args()
    networks = Networks()
    folders = sorted(path for path in given.folder.iterdir() if path.is_dir())
    step = max(len(folders) // given.persons, 1)
    who, faces, pictures, others, first = [], [], 0, 0, None
    started = time.process_time()
    for number, folder in enumerate(folders[::step][: given.persons]):
        for file in sorted(folder.glob("*.jpg"))[: given.each]:
            pictures += 1
            first = first or file
            found = faces_of(file.read_bytes(), networks)
            middle = [face for face in found if _covers_middle(face)]
            others += len(found) - len(middle[:1])
            if middle:
                who.append(number)
                faces.append(middle[0].embedding)
    seconds = time.process_time() - started
    if first is None:
        parser.error(f"no folder with *.jpg is in {given.folder}")
    print(f"pictures {pictures}, face in the middle found {len(faces)} ({len(faces) / pictures:.3f}), others {others}")
    print(f"{seconds / pictures:.3f} CPU s a picture as it is")
    print(_pairs(np.array(who), np.array(faces, np.float32)))
    for size in _SIZES:
        data = _enlarged(first, size)
        started = time.process_time()
        found = faces_of(data, networks)
        print(f"{size[0]} x {size[1]}: {time.process_time() - started:.2f} CPU s with {len(found)} face(s)")


def _covers_middle(face: Face) -> bool:
    x, y, width, height = face.box
    return x < 0.5 < x + width and y < 0.5 < y + height


def _pairs(who: np.ndarray, vectors: np.ndarray) -> str:
    count = len(vectors)
    ids = np.arange(1, count + 1)
    faces = FaceVectors(ids, np.zeros(count, np.int64), np.zeros(count, np.bool_), vectors.reshape(-1, DIM))
    found = grouped(faces, {})
    assert found is not None
    group = -ids
    for number, members in enumerate(found.new):
        group[np.array(members) - 1] = number
    upper = np.triu_indices(count, 1)
    one_person, one_group = ((of[:, None] == of[None])[upper] for of in (who, group))
    both = int((one_person & one_group).sum())
    precision, recall = both / max(int(one_group.sum()), 1), both / max(int(one_person.sum()), 1)
    return (
        f"{len(set(who.tolist()))} persons in {len(found.new)} groups, {len(found.alone)} faces alone; "
        f"pairwise precision {precision:.3f}, recall {recall:.3f}"
    )


def _enlarged(file: Path, size: tuple[int, int]) -> bytes:
    """A JPEG of this size that shows the picture in its middle."""
    with Image.open(file) as picture:
        portrait = picture.convert("RGB").resize((size[1] // 2, size[1] // 2))
    whole = Image.effect_noise(size, 40).convert("RGB")
    whole.paste(portrait, (size[0] // 4, size[1] // 4))
    out = io.BytesIO()
    whole.save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    main()
