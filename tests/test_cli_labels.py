"""``photoseek label``, ``tag``, ``classify``, and tags in ``info``, on the example photos."""

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


def test_rating_and_favourites(photoseek: Photoseek) -> None:
    assert photoseek("label", DOG, "--rating", "4", "--favourite")[2] == "1 picture: 1 rating set, 1 favourite added\n"
    assert photoseek("label", EXAMPLES / "birds", "--rating", "rejected")[2] == "14 pictures: 14 ratings set\n"
    assert photoseek("search", "--favourite", "--paths")[1] == f"{DOG}\n"
    assert photoseek("search", "a dog", "--min-rating", 3, "--paths")[1] == f"{DOG}\n"
    (hit,) = map(json.loads, photoseek("search", "--rating", "4,5", "--json")[1].splitlines())
    assert (hit["rating"], hit["favourite"]) == (4, True)
    assert photoseek("search", "--favourite", "--csv")[1].splitlines()[1].endswith(",4,True,")
    assert len(photoseek("search", "--no-rating", "rejected", "-n", "all", "--paths")[1].splitlines()) == 106
    out = photoseek("label", DOG)[1]
    assert "  rating     4 of 5\n" in out and "  favourite  yes\n" in out
    shown = json.loads(photoseek("label", DOG, "--json")[1])
    assert shown["ratings"] == [{"rating": 4, "source": "user"}] and shown["favourite"] is True
    info = photoseek("info")[1]
    assert "4 stars 1, rejected 14" in info and "favourites" in info
    facts = json.loads(photoseek("info", "--json")[1])
    assert (facts["ratings"], facts["favourites"]) == ({"4": 1, "rejected": 14}, 1)
    assert "1 rating removed, 1 favourite removed" in photoseek("label", DOG, "--rating", "remove", "--no-favourite")[2]


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
        (("label", DOG, "--rating", "6"), 2, "'6' is no rating"),
        (("search", "--rating", "6"), 2, "unknown rating"),
        (("search", "--min-rating", "0"), 2, "no number of stars"),
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


def test_writing_xmp_and_taking_it_back(photoseek: Photoseek, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(DOG, photos)
    gallery = ("--gallery", tmp_path / "other")
    photoseek("index", photos, "-q", *gallery)
    code, out, err = photoseek("label", photos / "dog.jpg", "--tag", "Rex", "--rating", 4, "--write-xmp", *gallery)
    assert code == 0 and out == f"new      {photos / 'dog.jpg.xmp'}  +rex, rating 4\n"
    assert err == "1 picture: 1 tag added, 1 rating set\n1 picture: 1 new\n"
    assert photoseek("label", "--import-xmp", *gallery)[2].endswith("0 updated\n")
    photoseek("label", photos, "--caption", "A dog.", *gallery)
    before = (photos / "dog.jpg.xmp").read_bytes()
    code, out, err = photoseek("label", "--write-xmp", *gallery)
    assert code == 0 and out.startswith("changed") and "caption" in out and "nothing is written without --yes" in err
    assert (photos / "dog.jpg.xmp").read_bytes() == before
    (line,) = photoseek("label", "--write-xmp", "--yes", "--json", *gallery)[1].splitlines()
    assert json.loads(line)["outcome"] == "changed"
    assert photoseek("label", "--write-xmp", "--yes", *gallery)[2] == "1 picture: nothing to write\n"
    assert "without --yes" in photoseek("label", "--undo-xmp", *gallery)[2] and (photos / "dog.jpg.xmp").exists()
    assert photoseek("label", "--undo-xmp", "--yes", *gallery)[2] == "1 picture: 1 removed\n"
    assert os.listdir(photos) == ["dog.jpg"]  # noqa: PTH208
    (photos / "dog.xmp").write_bytes(b"<broken")
    code, out, err = photoseek("label", "--write-xmp", "--yes", *gallery)
    assert code == 3 and "not well-formed" in out and "1 file not written" in err
    (photos / "dog.xmp").unlink()
    before = (photos / "dog.jpg").read_bytes()
    code, out, err = photoseek("label", "--write-xmp", "--embed", *gallery)
    assert code == 0 and out.startswith("changed") and "nothing is written without --yes" in err
    code, out, err = photoseek("label", "--write-xmp", "--embed", "--yes", *gallery)
    assert (code, err) == (0, "1 picture: 1 changed\n") and (photos / "dog.jpg").read_bytes() != before
    assert photoseek("label", "--undo-xmp", "--yes", *gallery)[2] == "1 picture: 1 removed\n"
    assert (photos / "dog.jpg").read_bytes() == before
    for wrong in (("--import-xmp", "--write-xmp"), ("--yes",), ("--embed",), ("--undo-xmp", "--tag", "x")):
        code, _, err = photoseek("label", photos, *wrong, *gallery)
        assert code == 2 and len(err.splitlines()) == 2, err
