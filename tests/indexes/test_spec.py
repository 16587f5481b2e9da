from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import IndexSpec, SpecError, recommend_spec

CANONICAL = [
    "Exact",
    "Flat",
    "SQfp16",
    "SQ8",
    "PQ64",
    "PQ256x4fs",
    "HNSW32",
    "HNSW32,SQfp16",
    "HNSW32,SQ8",
    "IVF4096,Flat",
    "IVF4096,SQ8",
    "IVF4096,SQfp16",
    "IVF4096,PQ64",
    "IVF4096,PQ128x4fs,Refine(SQfp16)",
    "IVF4096,PQ128x4fsr,Refine(SQfp16)",
    "PQ256x4fs,Refine(SQfp16)",
    "SQ8,Refine(Flat)",
    "HNSW32,Refine(SQfp16)",
]


@pytest.mark.parametrize("text", CANONICAL)
def test_canonical_text_is_kept_and_case_is_ignored(text: str) -> None:
    spec = IndexSpec.parse(text)
    assert str(spec) == text
    assert IndexSpec.parse(text.upper()) == spec
    assert IndexSpec.parse(f" {text.lower().replace(',', ' , ')} ") == spec


def test_two_spellings_of_one_design_are_equal() -> None:
    assert IndexSpec.parse("hnsw32,flat") == IndexSpec.parse("HNSW32")
    assert str(IndexSpec.parse("HNSW32,Flat,Refine(SQfp16)")) == "HNSW32,Refine(SQfp16)"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("exakt", "Exact"),
        ("flaat", "Flat"),
        ("SQfp61", "SQfp16"),
        ("SQ9", "SQ8"),
        ("IVF2000", "IVF2000,Flat"),
        ("IVF2000,SQ9", "IVF2000,SQ8"),
        ("IVF2000;PQ32", "IVF2000,PQ32"),
        ("HNSW48,SQ-8", "HNSW48,SQ8"),
        ("HNSW32,PQ64", "HNSW32"),
        ("PQ128fs4", "PQ128x4fs"),
        ("PQ128x4fs,Refine(SQ8)", "PQ128x4fs,Refine(SQfp16)"),
        ("PQ128x4fs,Refine(fp16)", "PQ128x4fs,Refine(SQfp16)"),
        ("IVF512,PQ64x4fs", "IVF512,PQ64x4fs,Refine(SQfp16)"),
    ],
)
def test_a_wrong_spelling_gets_the_nearest_valid_one(wrong: str, nearest: str) -> None:
    with pytest.raises(SpecError) as caught:
        IndexSpec.parse(wrong)
    assert f"did you mean {nearest}" in caught.value.hint
    assert wrong in caught.value.message
    assert caught.value.exit_code == 2
    IndexSpec.parse(nearest)


@pytest.mark.parametrize(
    "wrong",
    ["", ",", "IVF0,Flat", "HNSW1", "HNSW99999", "PQ0", "IVF99999999999,Flat", "Exact,Refine(Flat)", "PQ8x4fsr"],
)
def test_what_cannot_be_built_is_refused(wrong: str) -> None:
    with pytest.raises(SpecError):
        IndexSpec.parse(wrong)


@given(st.text(alphabet="IVFHNSWPQflatSQfp168x4rRefine(),0 ", max_size=30))
def test_any_text_is_either_refused_or_round_trips(text: str) -> None:
    try:
        spec = IndexSpec.parse(text)
    except SpecError as error:
        suggestion = error.hint.removeprefix("did you mean ").split("?")[0]
        IndexSpec.parse(suggestion)
        return
    assert IndexSpec.parse(str(spec)) == spec


def test_product_quantisers_must_divide_the_width() -> None:
    IndexSpec.parse("PQ64").check_dim(512)
    with pytest.raises(SpecError, match="PQ128 is the nearest"):
        IndexSpec.parse("PQ100").check_dim(512)
    with pytest.raises(SpecError):
        IndexSpec.parse("Flat").check_dim(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Exact", 8 + 2048),
        ("Flat", 8 + 2048),
        ("SQfp16", 8 + 1024),
        ("SQ8", 8 + 512),
        ("PQ64", 8 + 64),
        ("PQ256x4fs,Refine(SQfp16)", 8 + 128 + 1024),
        ("PQ256x4fs,Refine(Flat)", 8 + 128 + 2048),
        ("IVF4096,SQ8", 8 + 512 + 16),
        ("HNSW32,SQfp16", 8 + 1024 + 256 + 12),
    ],
)
def test_bytes_per_vector(text: str, expected: int) -> None:
    assert IndexSpec.parse(text).bytes_per_vector(512) == expected


def test_who_learns_and_from_how_much() -> None:
    def sizes(text: str) -> tuple[bool, int, int]:
        spec = IndexSpec.parse(text)
        return spec.needs_training, spec.minimum_training, spec.training_size(10_000_000)

    assert sizes("Exact") == sizes("SQfp16") == sizes("HNSW32") == (False, 0, 0)
    assert sizes("IVF4096,Flat") == (True, 4096, 262_144)
    assert sizes("IVF16,PQ64") == (True, 256, 65_536)
    assert sizes("PQ256x4fs,Refine(SQfp16)") == (True, 16, 4096)
    assert sizes("SQ8") == (True, 1, 50_000)
    assert IndexSpec.parse("SQ8").training_size(123) == 123
    assert [IndexSpec.parse(text).is_exact for text in ("Exact", "Flat", "SQfp16", "Flat,Refine(Flat)")] == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, "Exact"),
        (50_000, "Exact"),
        (50_001, "SQfp16"),
        (200_000, "SQfp16"),
        (200_001, "PQ128x4fs,Refine(SQfp16)"),
        (5_000_000, "PQ128x4fs,Refine(SQfp16)"),
    ],
)
def test_recommendation_by_size(n: int, expected: str) -> None:
    spec, reason = recommend_spec(n, 512)
    assert str(spec) == expected
    assert reason
    assert "\n" not in reason
    spec.check_dim(512)


def test_a_size_near_a_threshold_changes_nothing() -> None:
    def kept(current: str, n: int) -> str:
        return str(recommend_spec(n, 512, current=IndexSpec.parse(current)).spec)

    quick = "PQ128x4fs,Refine(SQfp16)"
    assert kept("Exact", 75_000) == "Exact"
    assert kept("Exact", 75_001) == "SQfp16"
    assert kept("Exact", 900_000) == quick
    assert kept("SQfp16", 25_000) == "SQfp16"
    assert kept("SQfp16", 24_999) == "Exact"
    assert kept("SQfp16", 300_000) == "SQfp16"
    assert kept("SQfp16", 300_001) == quick
    assert kept(quick, 100_000) == quick
    assert kept(quick, 99_999) == "SQfp16"
    assert kept("HNSW32", 10) == "Exact"
    assert kept("PQ256x4fs,Refine(SQfp16)", 150_000) == "SQfp16"  # another width's choice is nobody's current one


@pytest.mark.parametrize("dim", [1, 7, 384, 511, 513, 768, 1152])
def test_a_recommendation_fits_any_width(dim: int) -> None:
    for n in np.logspace(0, 8, 20).astype(int):
        recommend_spec(int(n), dim).spec.check_dim(dim)


def test_above_ten_million_a_server_is_named() -> None:
    spec, _ = recommend_spec(10_000_000, 512)
    for current in (None, spec):
        later, reason = recommend_spec(20_000_000, 512, current=current)
        assert (later, "docs/scale.md" in reason) == (spec, True)
