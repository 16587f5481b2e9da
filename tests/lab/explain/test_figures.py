"""Published figures: each has a model in the table and a source, and none contradicts the table."""

from __future__ import annotations

import pytest

from retrieval.encoders.names.known_models import MODELS
from retrieval.lab.explain import figures
from retrieval.lab.explain.figures import figures_of

DATA = figures._data()


def test_every_figure_belongs_to_a_model_and_a_source() -> None:
    names = {*DATA["retrieval"], *(row[0] for row in DATA["others"])}
    assert names <= set(MODELS)
    assert {row[0] for row in DATA["retrieval"].values()} <= set(DATA["sources"])
    assert {row[4] for row in DATA["others"]} <= set(DATA["sources"])
    assert {row[1] for row in DATA["others"]} <= set(DATA["protocols"]) & set(figures._TITLES)
    assert set(DATA["sources"]) == {row[0] for row in DATA["retrieval"].values()} | {row[4] for row in DATA["others"]}


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row.coco])
def test_the_table_says_the_same(name: str) -> None:
    found = {each.what: each.value for each in figures_of(name)}
    assert found["COCO text to picture R@1"] == MODELS[name].coco
    assert found["ImageNet zero-shot"] == MODELS[name].imagenet
    known = DATA["retrieval"].get(name)
    assert known is None or DATA["sources"][known[0]] == MODELS[name].anchor_source


def test_figures_in_words() -> None:
    found = {each.what: each for each in figures_of("ViT-L-14-336-quickgelu/openai")}
    assert found["Flickr30k text to picture R@5"].value == 89.0
    assert found["COCO picture to text R@1"].value == 57.9
    # What the paper prints and what open_clip measures are two figures, each with its source.
    assert found["ImageNet zero-shot"].value == 76.6 and "open_clip" in found["ImageNet zero-shot"].source
    paper = found["ImageNet zero-shot, as its paper prints it"]
    assert paper.value == 76.2 and "Radford" in paper.source
    assert all(each.source and each.protocol and 0 < each.value < 100 for name in MODELS for each in figures_of(name))
    assert figures_of("builtin-224") == figures_of("nobody/knows") == ()


def test_notes_of_the_table_agree() -> None:
    for name, row in MODELS.items():
        if row.family == "dinov2" and "k-NN" in row.note:
            knn = next(each.value for each in figures_of(name) if each.what.startswith("ImageNet k-NN"))
            assert f"{knn}" in row.note
