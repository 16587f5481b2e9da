"""Classification of files: the definition's probabilities, in or out of a gallery."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import GalleryNotFound, QueryError, TextNotSupported, UnknownImage, UnreadableImage
from retrieval.gallery import Gallery
from retrieval.labels.classify import classify, files_of
from retrieval.labels.zeroshot import class_vectors
from retrieval.pictures import picture_file
from retrieval.pictures.images import read_picture
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder

LABELS = ["red", "green", "Blue"]


@pytest.mark.parametrize("bias", [None, -6.0])
def test_probabilities_are_those_of_the_definition(photos: Path, encoder: ColourEncoder, bias: float | None) -> None:
    encoder.spec = replace(encoder.spec, logit_scale=8.0, logit_bias=bias)
    paths = [photos / name for name in PHOTOS]
    found = list(classify(encoder, paths, LABELS, ["{}", "a {} one"]))
    assert [x.path for x in found] == [str(path) for path in paths]
    classes = class_vectors(encoder, LABELS, ["{}", "a {} one"])
    for path, colour, got in zip(paths, PHOTOS.values(), found, strict=True):
        pixels = read_picture(path.read_bytes(), encoder.spec.preprocessing).pixels
        logits = 8.0 * (encoder.encode_images(pixels[None])[0] @ classes.T).astype(np.float64) + (bias or 0)
        expected = np.exp(logits) / np.exp(logits).sum() if bias is None else 1 / (1 + np.exp(-logits))
        assert {p.tag: pytest.approx(p.probability, abs=1e-6) for p in got.labels} == dict(
            zip(LABELS, expected.tolist(), strict=True)
        )
        assert got.labels[0].tag.lower() == colour or colour == "yellow"
        (cut,) = classify(encoder, [path], LABELS, ["{}", "a {} one"], top=1)
        assert cut.labels == got.labels[:1]  # of all labels, not of the one


def test_pictures_are_paths_or_ids(indexed: Gallery, photos: Path, tmp_path: Path) -> None:
    with indexed.reader() as reader:
        path = reader.records([2])[0].path
    assert files_of(indexed, ["x.jpg", "id:2"]) == [Path("x.jpg"), path]
    assert files_of(Gallery(tmp_path / "none"), ["x.jpg"]) == [Path("x.jpg")]  # no gallery is needed for files
    with pytest.raises(UnknownImage, match="99"):
        files_of(indexed, ["id:99"])
    with pytest.raises(GalleryNotFound):
        files_of(Gallery(tmp_path / "none"), ["id:1"])


def test_wrong_use_names_the_file(photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    text = photos / "text.jpg"
    text.write_text("no picture", encoding="utf-8")
    for path in (text, photos / "none.jpg", photos):
        with pytest.raises((QueryError, UnreadableImage), match=path.name):
            list(classify(encoder, [path], LABELS))
    with pytest.raises(QueryError, match="choose"):
        list(classify(encoder, [photos / "green.jpg"], ["red"]))
    with pytest.raises(QueryError):
        list(classify(encoder, [photos / "green.jpg"], LABELS, top=-1))
    with pytest.raises(TextNotSupported):
        list(classify(ColourEncoder(has_text=False), [photos / "green.jpg"], LABELS))
    monkeypatch.setattr(picture_file, "MAX_FILE_BYTES", 10)
    with pytest.raises(QueryError, match="larger"):
        list(classify(encoder, [photos / "green.jpg"], LABELS))
