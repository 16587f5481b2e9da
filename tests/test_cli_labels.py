"""``photoseek label``, ``tag``, ``classify``, and what ``info`` says of tags, on the example photos."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.commands import app as application
from tests.conftest import EXAMPLES
from tests.retrieval.xmp_files import packet

Photoseek = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, indexed_examples: Path) -> Path:
    """A gallery of the example photos that may be changed; its pictures lie where the examples do."""
    shutil.copytree(indexed_examples, tmp_path / "gallery")
    return tmp_path / "gallery"


@pytest.fixture
def photoseek(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: Path) -> Photoseek:
    """``photoseek("tag", "--top", 1)`` -> exit code, stdout, stderr."""
    monkeypatch.setenv("PHOTOSEEK_GALLERY", str(place))
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(place / "models"))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", os.environ.get("OPENBLAS_NUM_THREADS", "1"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["photoseek", *map(str, arguments)])
        code = 0
        try:
            application.run()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        out, err = capfd.readouterr()
        return code, out, err

    return call


DOG = EXAMPLES / "animals" / "dog.jpg"


def test_tagging_a_gallery_and_finding_by_tag(photoseek: Photoseek) -> None:
    labels = "animal,bird,flower,car"
    code, out, err = photoseek("tag", "--labels", labels, "--top", 1, "--min-probability", 0.3, "--json")
    report = json.loads(out)
    assert code == 0 and report["pictures"] == 120 and report["labels"] == 4
    assert sum(report["tags"].values()) == report["tagged"] > 20
    assert f"{report['tagged']} of 120 pictures" in err
    first = photoseek("tag", "--labels", labels, "--top", 1, "--min-probability", 0.3)
    assert first[1].split() == [str(part) for tag, n in report["tags"].items() for part in (n, tag)]
    code, out, _ = photoseek("search", "a car", "--tag", "CAR", "--json", "-n", 100)
    assert code == 0 and len(out.splitlines()) == report["tags"]["car"]
    code, out, _ = photoseek("info", "--json")
    facts = json.loads(out)
    assert facts["tags"] == {} and facts["encoders"][0]["predicted_tags"] == report["tags"]
    assert "predicted" in photoseek("info")[1]
    photoseek("tag", "--labels", labels, "--templates", 7, "--min-probability", 1)
    assert json.loads(photoseek("info", "--json")[1])["encoders"][0]["predicted_tags"] == {}


def test_the_built_in_labels_are_used_without_being_asked_for(photoseek: Photoseek) -> None:
    code, out, _ = photoseek("tag", EXAMPLES / "birds", "--templates", 1, "--json")
    assert code == 0 and json.loads(out)["labels"] > 300 and json.loads(out)["pictures"] == 14


def test_labelling_and_looking_at_it(photoseek: Photoseek) -> None:
    code, out, err = photoseek("label", DOG, "--tag", "  Rex ", "-t", "pets", "--caption", "At the\x20sea.")
    assert (code, out) == (0, "") and "1 picture: 2 tags added, 1 caption set" in err
    photoseek("tag", "--labels", "cat,dog", "--min-probability", 0)
    code, out, _ = photoseek("label", DOG, "--json")
    shown = json.loads(out)
    assert shown["path"] == str(DOG)
    assert shown["tags"] == [{"tag": "pets", "source": "user"}, {"tag": "rex", "source": "user"}]
    assert shown["captions"] == [{"text": "At the sea.", "source": "user"}]
    assert {p["tag"] for p in shown["predicted"]} == {"cat", "dog"}
    code, out, _ = photoseek("label", f"id:{shown['id']}")
    assert out.splitlines()[:3] == [f"{DOG} (id:{shown['id']})", "  tags       pets, rex", "  caption    At the sea."]
    info = photoseek("info")[1]
    assert "pets 1, rex 1" in info and "captions" in info
    assert photoseek("search", "a dog", "--tag", "rex", "--paths")[1] == f"{DOG}\n"
    _, _, err = photoseek("label", DOG, "--remove-tag", "REX", "--remove-caption")
    assert "1 tag removed, 1 caption removed" in err
    assert photoseek("label", EXAMPLES / "animals", "--tag", "zoo")[2] == "27 pictures: 27 tags added\n"


def test_importing_xmp(photoseek: Photoseek, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(DOG, photos)
    (photos / "dog.xmp").write_bytes(packet(["Rex"], description="A\u202e dog."))
    (photos / "dog.jpg.xmp").write_bytes(b"<broken")
    photoseek("index", photos, "-q", "--gallery", tmp_path / "other")
    code, out, err = photoseek("label", "--import-xmp", "--gallery", tmp_path / "other")
    assert code == 0 and "dog.jpg.xmp: not well-formed XML" in err and "0 with a sidecar" in err
    (photos / "dog.jpg.xmp").unlink()
    code, out, err = photoseek("label", photos, "--import-xmp", "--gallery", tmp_path / "other")
    assert code == 0 and err == "1 picture: 1 with a sidecar, 0 with embedded XMP; 1 updated\n"
    out = photoseek("label", photos, "--gallery", tmp_path / "other")[1]
    assert "rex (xmp)" in out and "\u202e" not in out


def test_classifying_files(photoseek: Photoseek, tmp_path: Path) -> None:
    shutil.copy(next((EXAMPLES / "vehicles").glob("*.jpg")), tmp_path / "x.jpg")
    code, out, err = photoseek("classify", tmp_path / "x.jpg", DOG, "--labels", "cat,dog,car", "--json")
    assert (code, err) == (0, "")
    for line, path in zip(map(json.loads, out.splitlines()), (tmp_path / "x.jpg", DOG), strict=True):
        found = [(p["label"], p["probability"]) for p in line["labels"]]
        assert line["path"] == str(path) and {label for label, _ in found} == {"cat", "dog", "car"}
        assert sum(p for _, p in found) == pytest.approx(1, abs=1e-5)
        assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    _, out, _ = photoseek("classify", DOG, "--labels", "cat,dog,car", "--top", 1)
    path, probability, label = out.rstrip("\n").split("\t")
    assert (path, label) == (str(DOG), found[0][0]) and float(probability) == pytest.approx(found[0][1], abs=1e-4)
    assert len(photoseek("classify", DOG, "--templates", 1)[1].splitlines()) == 5  # of the built-in labels
    assert len(photoseek("classify", DOG, "--labels", "cat,dog,car", "-n", 0)[1].splitlines()) == 3
    assert photoseek("classify", DOG, "--gallery", tmp_path / "none", "--labels", "a b,c")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("label",), 2, "no picture was given"),
        (("label", "/no/such.jpg"), 3, "/no/such.jpg"),
        (("label", DOG, "--tag", " "), 2, "empty"),
        (("label", DOG, "--tag", "x" * 201), 2, "too long"),
        (("label", DOG, "--tag", "a\x1bb"), 2, "character"),
        (("label", DOG, "--tag", "a", "--remove-tag", "A"), 2, "at once"),
        (("label", DOG, "--import-xmp", "--tag", "a"), 2, "cannot be combined"),
        (("tag", "/no/such"), 3, "/no/such"),
        (("tag", "--labels", "/no/such.txt"), 2, "/no/such.txt"),
        (("tag", "--labels", "dog"), 2, "choose"),
        (("tag", "--templates", "/no/such.txt"), 2, "/no/such.txt"),
        (("tag", "--model", "ViT-B-32/openai"), 2, "ViT-B-32"),
        (("classify", "/no/such.jpg"), 2, "cannot read"),
        (("classify", EXAMPLES / "captions.tsv"), 2, "captions.tsv: not an image"),
        (("classify", "id:99999"), 3, "99999"),
        (("classify", DOG, "--labels", ","), 2, "no label"),
    ],
)
def test_errors_are_two_lines(photoseek: Photoseek, arguments: tuple[object, ...], code: int, words: str) -> None:
    found, out, err = photoseek(*arguments)
    assert (found, out) == (code, "")
    lines = err.strip().splitlines()
    assert len(lines) == 2 and lines[0].startswith("photoseek: ") and words in err, err
