from __future__ import annotations

import pytest

from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.names.known_models import (
    BUILTIN,
    CPU_DEFAULT,
    MODELS,
    PREFERENCE,
    canonical_name,
    unknown_encoder,
)


def test_names_are_model_and_tag() -> None:
    for name, row in MODELS.items():
        assert row.name == name
        assert name == BUILTIN or name.count("/") == (row.source == "open_clip")
        assert canonical_name(name) == name


def test_every_row_says_what_a_person_needs() -> None:
    for row in MODELS.values():
        assert row.licence and row.family and row.dim > 0 and row.size > 0 and row.gflops > 0
        assert (row.imagenet is None and row.coco is None) or row.anchor_source
        assert row.has_text == (row.context > 0)


def test_research_licences_are_marked_and_never_preferred() -> None:
    assert MODELS["MobileCLIP2-S0/dfndr2b"].research_only
    assert MODELS["ViT-H-14-378-quickgelu/dfn5b"].research_only
    assert not MODELS["ViT-B-32-256/datacomp_s34b_b86k"].research_only
    for name in (*PREFERENCE, CPU_DEFAULT):
        assert not MODELS[name].research_only


def test_weights_trained_with_quickgelu_have_the_name_that_says_so() -> None:
    for name in MODELS:
        model, _, tag = name.partition("/")
        if tag in ("openai", "dfn2b", "dfn5b"):
            assert model.endswith("-quickgelu"), name


def test_the_built_in_row_is_the_built_in_model() -> None:
    spec, row = read_encoder_folder(BUILTIN_FOLDER).spec, MODELS[BUILTIN]
    assert (spec.name, spec.dim, spec.preprocessing.size, spec.context_length) == (
        row.name,
        row.dim,
        row.size,
        row.context,
    )
    assert row.download_mb == 0


def test_download_size_is_that_of_float32_weights() -> None:
    assert MODELS["ViT-B-32-256/datacomp_s34b_b86k"].download_mb == 605
    assert MODELS[CPU_DEFAULT].download_mb == 1508


@pytest.mark.parametrize(
    "spelling",
    [
        "ViT-B-32/laion2b_s34b_b79k",
        "ViT-B-32:laion2b_s34b_b79k",
        "ViT-B-32__laion2b_s34b_b79k",
        " vit-b-32/LAION2B_s34b_b79k ",
    ],
)
def test_spellings(spelling: str) -> None:
    assert canonical_name(spelling).casefold() == "vit-b-32/laion2b_s34b_b79k"


def test_paths_and_open_clip_forms_are_left_alone() -> None:
    for name in ("local-dir:/models/a__b", "hf-hub:org/re__po", "/data/a__b:c", "./x__y", "builtin-224"):
        assert canonical_name(name) == name


def test_unknown_names_offer_the_nearest() -> None:
    assert CPU_DEFAULT in unknown_encoder("vit-b-32-siglip-256:webli").hint
    other = unknown_encoder("qqqq")
    assert "'qqqq'" in str(other) and "did you mean" not in other.hint


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        MODELS["x"] = MODELS[BUILTIN]  # type: ignore[index]
