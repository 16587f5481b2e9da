"""Folders in which models are built: each belongs to one model, also where names begin alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.encoders.files.staging import staging
from retrieval.encoders.names.open_clip import preprocessing_from
from retrieval.errors import EncoderError


def test_a_model_whose_name_begins_alike_keeps_its_folder(tmp_path: Path) -> None:
    for key in (None, "0123abcd"):
        with staging(tmp_path, "ViT-B-32", resume_key=key) as longer:
            (longer / "half").write_text("half")
            with staging(tmp_path, "ViT-B", resume_key=key) as shorter:
                assert shorter != longer
            assert (longer / "half").is_file()


def test_what_an_interrupted_one_left_is_continued_or_removed(tmp_path: Path) -> None:
    with staging(tmp_path, "ViT-B", resume_key="aa") as folder:
        (folder / "half").write_text("half")
    with staging(tmp_path, "ViT-B", resume_key="aa") as again:
        assert again == folder and (again / "half").is_file()
    with staging(tmp_path, "ViT-B", resume_key="b-../c") as other:
        assert other.parent == tmp_path and not folder.exists()
    with staging(tmp_path, "ViT-B"):
        assert not other.exists()


@pytest.mark.parametrize("size", [{}, {"height": 224}, [[224, 224]], [{}], [], [224, "x"], True, None, 10**9, "224"])
def test_sizes_of_any_kind_are_refused_in_words(size: object) -> None:
    usual = {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert preprocessing_from(usual, [224, 224], "x").size == preprocessing_from(usual, 224, "x").size == 224
    with pytest.raises(EncoderError, match="square"):
        preprocessing_from(usual, size, "x")
