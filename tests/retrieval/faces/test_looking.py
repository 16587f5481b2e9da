"""Faces by the real networks: a portrait in the public domain (by NASA), as scikit-image ships it, and variations."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

pytest.importorskip("dlib", reason="needs photoseek[faces]")
if find_spec("face_recognition_models") is None or find_spec("skimage") is None:
    pytest.skip("needs photoseek[faces,dev]", allow_module_level=True)

from retrieval.errors import UnreadableImage
from retrieval.faces.grouping import SIMILAR
from retrieval.faces.looking import Face, faces_of
from retrieval.faces.models import Networks

ROOT = Path(__file__).parents[3]


def portrait() -> Image.Image:
    spec = find_spec("skimage")
    assert spec is not None and spec.origin is not None
    return Image.open(Path(spec.origin).parent / "data" / "astronaut.png").convert("RGB")


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks()


def png(picture: Image.Image, **more: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", **more)  # type: ignore[arg-type]
    return out.getvalue()


def only(picture: Image.Image, networks: Networks) -> Face:
    found = faces_of(png(picture), networks)
    assert len(found) == 1
    return found[0]


def variations() -> dict[str, Image.Image]:
    plain = portrait().crop((60, 0, 420, 300))
    return {
        "plain": plain,
        "mirrored": ImageOps.mirror(plain),
        "smaller": plain.resize((240, 200)),
        "brighter": ImageEnhance.Brightness(plain).enhance(1.4),
        "darker": ImageEnhance.Brightness(plain).enhance(0.5),
        "turned": plain.rotate(8),
        "grey": plain.convert("L").convert("RGB"),
    }


def test_one_face_is_found_in_every_variation_and_stays_itself(networks: Networks) -> None:
    found = {name: only(picture, networks) for name, picture in variations().items()}
    vectors = np.stack([face.embedding for face in found.values()])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors @ vectors.T).min() > SIMILAR
    x, y, width, height = found["plain"].box
    assert x < 155 / 360 < x + width and y < 120 / 300 < y + height, "the nose"
    assert found["mirrored"].box[0] == pytest.approx(1 - x - width, abs=0.03)


def test_boxes_are_of_the_upright_picture(networks: Networks) -> None:
    plain = variations()["plain"]
    lying = plain.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    (face,) = faces_of(png(lying, exif=exif), networks)
    assert face.box == pytest.approx(only(plain, networks).box, abs=0.02)


def test_small_faces_and_pictures_without_faces(networks: Networks) -> None:
    tiny = Image.new("RGB", (1600, 1200), (90, 120, 90))
    tiny.paste(portrait().crop((150, 50, 300, 200)).resize((60, 60)), (700, 500))
    assert faces_of(png(tiny), networks) == []
    assert faces_of(png(Image.new("RGB", (400, 300), (90, 120, 200))), networks) == []
    with pytest.raises(UnreadableImage):
        faces_of(b"\xff\xd8\xff\xe0 no picture", networks)


def photoseek(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PHOTOSEEK_GALLERY": str(home / "g"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "cli.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)


def test_the_whole_way_from_a_folder_to_nothing_left(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for name, picture in variations().items():
        picture.save(tmp_path / "p" / f"{name}.png")
    Image.new("RGB", (300, 200), (90, 120, 200)).save(tmp_path / "p" / "blue.png")
    first = photoseek(tmp_path, "index", str(tmp_path / "p"), "--faces", "--json-progress")
    assert first.returncode == 0, first.stderr
    *_, last = map(json.loads, first.stdout.splitlines())
    assert last["report"]["faces"] | {"seconds": 0} == {
        "looked": 8, "with_faces": 7, "faces": 7, "joined": 0, "groups": 1, "failed": 0, "gone": 0, "left": 0,
        "seconds": 0,
    }  # fmt: skip
    (group,) = map(json.loads, photoseek(tmp_path, "people", "--json").stdout.splitlines())
    assert (group["name"], group["pictures"]) == (None, 7)
    assert photoseek(tmp_path, "people", "name", str(group["id"]), "Eileen Collins").returncode == 0
    variations()["plain"].resize((500, 417)).save(tmp_path / "p" / "new.png")
    assert "1 of known persons" in photoseek(tmp_path, "index").stderr, "it lasts, and the new face is known"
    shown = photoseek(tmp_path, "search", "person:eileen collins", "--paths")
    assert shown.returncode == 2 and "Eileen Collins" in shown.stderr, "of a name of two words the first alone"
    shown = photoseek(tmp_path, "search", 'person:"eileen collins"', "--paths")
    assert {Path(line).stem for line in shown.stdout.splitlines()} == {*variations(), "new"}
    assert "8, in 8 of the 9 looked at; 1 person, 1 with a name" in photoseek(tmp_path, "info").stdout
    assert "nothing is deleted without --yes" in photoseek(tmp_path, "people", "forget", "--all").stderr
    assert photoseek(tmp_path, "people", "forget", "--all", "--yes").returncode == 0
    assert photoseek(tmp_path, "people").returncode == 1
    assert "looked at for faces" not in photoseek(tmp_path, "index").stderr
