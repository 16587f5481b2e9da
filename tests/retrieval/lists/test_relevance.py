"""Relevance: what is there is told from what is not, whatever the encoder's scores look like."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from retrieval.errors import QueryError
from retrieval.gallery import Gallery
from retrieval.search.calibration import calibration_of, everyday, kept_calibration, unlikely
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query, Term
from retrieval.search.relevance import CUT, SIGMOID_CUT, cut_of, pool_of, relevances
from retrieval.search.smoothing import POOL
from tests.retrieval.lists.made import Row, WordEncoder, made_gallery

THINGS = ("dog", "cat", "horse", "tree", "car")
ABSENT = ("zebra", "teapot", "harbour", "comet", "violin", "lemon", "glacier", "cello", "tractor", "moth")
EACH = 12


def gallery_of(place: Path, encoder: WordEncoder) -> Gallery:
    rows = [
        Row("/photos", f"{thing}-{number}.jpg", encoder.picture_of(thing, EACH * at + number))
        for at, thing in enumerate(THINGS)
        for number in range(EACH)
    ]
    return made_gallery(place / "gallery", encoder.spec, rows)


def shown(engine: QueryEngine, text: str) -> list[str]:
    page = find_page(engine, Query.text(text, k=100), Listing(relevant=True))
    return [Path(hit.image.path).name.partition("-")[0] for hit in page.hits]


@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0])
def test_hits_are_relevant_where_there_are_any(tmp_path: Path, gap: float) -> None:
    encoder = WordEncoder(gap=gap)
    with QueryEngine(gallery_of(tmp_path, encoder), encoder) as engine:
        found = [shown(engine, thing) for thing in THINGS]
        for thing, names in zip(THINGS, found, strict=True):
            assert names.count(thing) >= 0.9 * EACH
        right = sum(names.count(thing) for thing, names in zip(THINGS, found, strict=True))
        assert right >= 0.9 * sum(map(len, found))
        assert sum(bool(shown(engine, thing)) for thing in ABSENT) <= 1


def test_no_cut_on_the_score_does_that(tmp_path: Path) -> None:
    """What the calibration is for: with a gap, a cat scores lower than anything does without one."""
    tops = []
    for gap in (0.0, 3.0):
        encoder = WordEncoder(gap=gap)
        with QueryEngine(gallery_of(tmp_path / str(gap), encoder), encoder) as engine:
            tops.append([engine.search(Query.text(text, k=1))[0].score for text in ("cat", "comet")])
    (cat, comet), (far_cat, _) = tops
    assert far_cat < comet < cat


def judged(engine: QueryEngine, query: Query) -> list[Hit]:
    """The hits of a query with their relevance, whether or not they answer."""
    hits = engine.search(query)
    ids, scores = [hit.image.id for hit in hits], [hit.score for hit in hits]
    direction = engine.direction(query)
    nearest = engine.index.search(direction, POOL).ids[0]
    calibration, row = calibration_of(engine), engine.encoder_row
    pool = pool_of(calibration, direction, nearest[nearest >= 0], engine.reader, row)
    values = relevances(calibration, direction, ids, scores, pool, engine.reader, row)
    return [replace(hit, relevance=value) for hit, value in zip(hits, values, strict=True)]


def test_relevance_is_the_share_of_unrelated_searches_below(tmp_path: Path) -> None:
    encoder = WordEncoder()
    with QueryEngine(gallery_of(tmp_path, encoder), encoder) as engine:
        query = Query.text("cat", k=60)
        hits = judged(engine, query)
        measured = calibration_of(engine).measured
        # The definition, from the encoder's vectors alone.
        labels, pictures = encoder.encode_texts(everyday()), engine.reader.vectors(range(1, 61), engine.encoder_row)
        alike = labels @ labels.T - 2 * np.eye(len(labels))
        near = np.median(alike.max(axis=1))

        def evidence(text: str) -> np.ndarray:
            (vector,) = encoder.encode_texts([text])
            others = labels[labels @ vector < max(near, np.median(labels @ vector) + 1e-6)].astype(np.float64)
            scale = encoder.spec.logit_scale or 0
            return scale * pictures @ vector - np.log(np.exp(scale * pictures @ others.T).sum(axis=1))

        nearest = np.argsort(-encoder.encode_texts(unlikely()) @ pictures.T, axis=1)[:, :10]
        away = pictures - pictures[np.unique(nearest)].mean(axis=0)
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        alike = away @ away.T - np.eye(len(pictures))

        def smoothed(text: str) -> np.ndarray:
            """The gallery is smaller than a pool."""
            own, found = evidence(text), []
            for row, near in zip(own, alike, strict=True):
                nine = np.argsort(-near, kind="stable")[:9]
                weights = np.maximum(near[nine], 0) ** 2
                found.append((row + weights @ own[nine]) / (1 + weights.sum()))
            return np.array(found)

        best = [max(smoothed(text)[rows]) for text, rows in zip(unlikely(), nearest, strict=True)]
        assert (measured.mean, measured.deviation) == pytest.approx((np.mean(best), np.std(best)), abs=1e-3)
        wanted = smoothed("cat")
        z = (wanted - np.mean(best)) / np.std(best)
        relevance = [hit.relevance for hit in sorted(hits, key=lambda hit: hit.image.id)]
        assert relevance == pytest.approx([NormalDist().cdf(value) for value in z], abs=1e-3)
        assert {value >= CUT for value in relevance if value is not None} == {True, False}


def test_a_label_that_means_the_same_does_not_compete(tmp_path: Path) -> None:
    """``dog`` is among the everyday labels; asking for it must not count against itself."""
    assert {"dog", "cat"} <= set(everyday())
    encoder = WordEncoder()
    with QueryEngine(gallery_of(tmp_path, encoder), encoder) as engine:
        calibration = calibration_of(engine)
        pictures = engine.reader.vectors([1], engine.encoder_row)
        dog = encoder.encode_texts(["dog"])
        without = calibration.background[[label != "dog" for label in everyday()]]
        smaller = replace(calibration, background=without)
        np.testing.assert_allclose(calibration.evidence(dog, pictures), smaller.evidence(dog, pictures), atol=1e-4)


def test_an_encoder_with_a_bias_speaks_for_itself(tmp_path: Path) -> None:
    encoder = WordEncoder(bias=-10.0)
    with QueryEngine(gallery_of(tmp_path, encoder), encoder) as engine:
        query = Query.text("cat", k=60)
        assert cut_of(calibration_of(engine)) == SIGMOID_CUT
        for hit in judged(engine, query):
            assert hit.relevance == pytest.approx(1 / (1 + np.exp(-(20.0 * hit.score - 10.0))), abs=1e-6)
        assert set(encoder.encoded) == {"cat"}
        assert set(shown(engine, "cat")) == {"cat"} and shown(engine, "comet") == []


def test_pictures_are_not_judged(tmp_path: Path) -> None:
    encoder = WordEncoder()
    with QueryEngine(gallery_of(tmp_path, encoder), encoder) as engine:
        query = Query((Term("text", "cat"), Term("id", 1)))
        with pytest.raises(QueryError, match="by words"):
            find_page(engine, query, Listing(relevant=True))


def test_measured_once_and_again_when_the_gallery_has_grown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "photoseek")
    encoder = WordEncoder()
    gallery = gallery_of(tmp_path, encoder)
    with QueryEngine(gallery, encoder) as engine:
        first = calibration_of(engine)
    encoder.encoded.clear()
    caplog.clear()
    with QueryEngine(gallery, encoder) as engine:
        again = calibration_of(engine)
        assert again.measured == first.measured and not encoder.encoded and not caplog.records
        np.testing.assert_array_equal(again.background, first.background)
    more = [Row("/more", f"{n}.jpg", encoder.picture_of("glacier", 900 + n)) for n in range(7)]
    made_gallery(gallery.path, encoder.spec, more)
    with QueryEngine(gallery, encoder) as engine:
        grown = calibration_of(engine)
        assert grown.measured.images == 67 and grown.measured != first.measured
        assert set(encoder.encoded) == set(unlikely())  # the labels are still known
        assert "measuring" in caplog.text


DAMAGES = ["cut", "noise", "not json", "other lists", "other types", "huge", "a bit", "a bit of a label"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_kept_is_not_trusted(tmp_path: Path, damage: str) -> None:
    encoder = WordEncoder()
    gallery = gallery_of(tmp_path, encoder)
    with QueryEngine(gallery, encoder) as engine:
        good = calibration_of(engine)
    folder = gallery.relevance_path(encoder.spec.fingerprint)
    measured, background = folder / "measured.json", folder / "background.f4"
    body = json.loads(measured.read_text())
    if damage == "cut":
        background.write_bytes(background.read_bytes()[:-4])
    elif damage == "noise":
        background.write_bytes(b"\xff" * len(background.read_bytes()))
    elif damage == "not json":
        measured.write_text("{")
    elif damage == "other lists":
        measured.write_text(json.dumps(body | {"lists": "0" * 32, "mean": -99.0}))
    elif damage == "a bit":
        measured.write_text(json.dumps(body | {"mean": body["mean"] + 0.5}))
    elif damage == "a bit of a label":
        data = bytearray(background.read_bytes())
        data[1] ^= 0x10  # of a fraction: as long as before
        background.write_bytes(data)
    elif damage == "other types":
        measured.write_text(json.dumps(body | {"mean": "low"}))
    else:
        measured.write_text(json.dumps(body | {"deviation": 1e400}))
    with QueryEngine(gallery, encoder) as engine:
        assert calibration_of(engine).measured == good.measured


def test_what_another_gallery_measured_is_not_used(tmp_path: Path) -> None:
    encoder = WordEncoder()
    theirs, ours = gallery_of(tmp_path / "theirs", encoder), gallery_of(tmp_path / "ours", encoder)
    for gallery in (theirs, ours):
        with QueryEngine(gallery, encoder) as engine:
            calibration_of(engine)
    with QueryEngine(ours, encoder) as engine:
        assert kept_calibration(engine) is not None
    shutil.rmtree(ours.path / "relevance")
    shutil.copytree(theirs.path / "relevance", ours.path / "relevance")
    with QueryEngine(ours, encoder) as engine:
        assert kept_calibration(engine) is None
    shutil.copytree(theirs.path, tmp_path / "copy")
    with QueryEngine(Gallery(tmp_path / "copy"), encoder) as engine:
        assert kept_calibration(engine) is not None


def test_a_gallery_that_cannot_be_written_is_judged_all_the_same(tmp_path: Path) -> None:
    encoder = WordEncoder()
    gallery = gallery_of(tmp_path, encoder)
    (gallery.path / "relevance").write_text("a file where the folder would be")
    with QueryEngine(gallery, encoder) as engine:
        assert set(shown(engine, "cat")) == {"cat"}


def test_an_empty_gallery_has_nothing_relevant(tmp_path: Path) -> None:
    encoder = WordEncoder()
    with QueryEngine(made_gallery(tmp_path / "gallery", encoder.spec, []), encoder) as engine:
        page = find_page(engine, Query.text("cat"), Listing(relevant=True))
        assert (page.hits, page.next, page.nearest) == ((), None, None)


def test_the_lists_have_nothing_in_common() -> None:
    assert len(everyday()) > 300 and len(unlikely()) >= 100
    assert not {text.casefold() for text in everyday()} & {text.casefold() for text in unlikely()}
