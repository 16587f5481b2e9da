"""The three kinds of duplicates."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.duplicate_pictures import write_set
from benchmarks.duplicates import outcome_table
from indexes import IndexSpec
from retrieval.catalog.records import ImageRecord
from retrieval.duplicates import candidates, lookalikes
from retrieval.duplicates.finding import Found, find_duplicates
from retrieval.duplicates.groups import stars
from retrieval.duplicates.keeper import by_size
from retrieval.duplicates.rows import ImageColumns
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from tests.pictures import replace_picture
from tests.retrieval.duplicates.collection import BURST, BYTES, KEEPER, OTHER, SMALL, index


def named(found: Found, folder: Path) -> list[tuple[str, str, list[str]]]:
    def name(image: ImageRecord) -> str:
        return str(Path(image.path).relative_to(folder))

    return [(g.kind, name(g.keeper), sorted(name(m.image) for m in g.others)) for g in found.groups]


def test_three_kinds(doubled: Gallery, pictures: Path) -> None:
    assert named(find_duplicates(doubled), pictures) == [
        ("same bytes", KEEPER, [BYTES]),
        ("same picture", KEEPER, [SMALL]),
    ]
    found = find_duplicates(doubled, look_alikes=0.95)
    (alike,) = [group for group in named(found, pictures) if group[0] == "look-alike"]
    assert {alike[1], *alike[2]} >= {KEEPER, BURST}
    assert not {SMALL, BYTES} & {alike[1], *alike[2]}  # represented by their keeper
    assert found.images == 5


def test_members_say_how_near_they_are(doubled: Gallery) -> None:
    exact, copy = find_duplicates(doubled).groups
    assert (exact.others[0].cosine, exact.others[0].bits) == (None, None)
    assert copy.others[0].cosine is not None and copy.others[0].cosine > 0.95
    assert copy.others[0].bits is not None and 0 <= copy.others[0].bits <= 5
    assert copy.bytes_of_others == copy.others[0].image.size


def test_a_filter_holds_for_both_sides(doubled: Gallery, pictures: Path) -> None:
    assert find_duplicates(doubled, Filter(under=(pictures / "copies",))).groups == ()
    both = Filter(under=(pictures / "copies", pictures / "small"))
    assert named(find_duplicates(doubled, both), pictures) == [("same picture", BYTES, [SMALL])]


def test_what_changed_since_is_not_looked_at(doubled: Gallery, pictures: Path) -> None:
    replace_picture(pictures / SMALL, "red", size=(300, 200))
    found = find_duplicates(doubled)
    assert [group.kind for group in found.groups] == ["same bytes"]
    assert found.unseen == 1


def test_hashes_that_are_missing_are_made_and_kept(doubled: Gallery, pictures: Path) -> None:
    with sqlite3.connect(doubled.catalog_path) as connection:
        before = connection.execute("SELECT id, phash FROM images ORDER BY id").fetchall()
        connection.execute("UPDATE images SET phash = NULL")
    connection.close()
    expected = named(find_duplicates(doubled), pictures)
    assert [group[0] for group in expected] == ["same bytes", "same picture"]
    with sqlite3.connect(doubled.catalog_path) as connection:
        after = connection.execute("SELECT id, phash FROM images ORDER BY id").fetchall()
    connection.close()
    known = [(old, new) for (_, old), (_, new) in zip(before, after, strict=True) if new is not None]
    assert len(known) >= 4  # of pictures with the same bytes, one is enough
    for old, new in known:
        assert len(new) == 64
        old, new = old[:8], new[:8]
        assert (int.from_bytes(old) ^ int.from_bytes(new)).bit_count() <= 3


def test_a_locked_gallery_can_still_be_asked(
    doubled: Gallery, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(doubled.catalog_path) as connection:
        connection.execute("UPDATE images SET phash = NULL")
    connection.close()
    with doubled.writer():
        found = find_duplicates(doubled)
    assert [group.kind for group in found.groups] == ["same bytes", "same picture"]
    assert "not kept" in caplog.text


def test_plain_pictures_are_duplicates_by_their_bytes_only(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "black"
    folder.mkdir()
    for at in range(6):
        Image.new("RGB", (60 + 6 * at, 40 + 4 * at), "black").save(folder / f"{at}.png")
    shutil.copyfile(folder / "0.png", folder / "again.png")
    found = find_duplicates(index(gallery, folder))
    assert [(group.kind, len(group.others)) for group in found.groups] == [("same bytes", 1)]
    assert (found.plain, found.crowded, found.unseen) == (6, 0, 0)


def test_a_crowd_with_one_hash_costs_a_bounded_number_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_BUCKET_PAIRS", 500)
    count = 400
    ones, width = np.ones(count, np.uint64), np.arange(100, 100 + count)
    none = np.full(count, -1)
    columns = ImageColumns(np.arange(count), width, np.full(count, 100), ones[:, None], ones.astype(bool), none)
    search = object.__new__(candidates.CandidatePairs)
    search._columns, search.crowded = columns, set()
    first, second = search._within(np.arange(count))
    assert len(first) == count - 1  # the largest with every other
    assert set(second.tolist()) == {count - 1} and len(set(first.tolist())) == count - 1
    assert len(search.crowded) == count - 1
    search.crowded.clear()
    first, second = search._within(np.arange(20))
    assert len({*zip(first.tolist(), second.tolist(), strict=True)}) == 190 and (first < second).all()
    assert not search.crowded


@pytest.mark.parametrize("cosine", [0.0, -0.5, 1.5, float("nan")])
def test_a_cosine_that_is_none_is_refused(doubled: Gallery, cosine: float) -> None:
    with pytest.raises(QueryError, match="cosine"):
        find_duplicates(doubled, look_alikes=cosine)


def record(path: str, width: int = 10, size: int = 5, mtime_ns: int = 1) -> ImageRecord:
    return ImageRecord(1, path, size, mtime_ns, "JPEG", width, 10, None, None, None, None, None, b"")


def test_who_is_compared_first_has_most_pixels_then_bytes_then_age_then_the_first_name() -> None:
    expected = [
        record("/z", width=20),
        record("/y", size=9, mtime_ns=7),
        record("/x", mtime_ns=1),
        record("/a", mtime_ns=2),
        record("/b", mtime_ns=2),
    ]
    assert sorted(sorted(expected, key=lambda image: image.path), key=by_size) == expected


def test_a_chain_is_not_one_group() -> None:
    near = {0: [1], 1: [0, 2], 2: [1, 3], 3: [2]}

    def all_of(center: int, free: Callable[[int], list[int]]) -> tuple[tuple[int, list[int]], list[int]]:
        return (center, free(center)), free(center)

    assert list(stars(range(4), near, all_of)) == [(0, [1]), (2, [3])]
    assert list(stars([1, 0, 2, 3], near, all_of)) == [(1, [0, 2]), None]
    assert list(stars(range(4), near, lambda *_: None)) == [None] * 4


def test_precision_and_recall_on_known_pictures(tmp_path: Path) -> None:
    """The benchmark's table on a scene and a page, with the built-in model."""
    table = outcome_table(write_set(tmp_path / "set", (0, 2)), tmp_path / "set", "builtin-224")
    shares = {row[0]: float(row[2]) for row in table.rows}
    copies = [share for case, share in shares.items() if case.startswith("copy")]
    assert np.mean(copies) >= 0.98, table.notes
    kinds = ("burst", "false friend", "crop", "edit")
    others = {case: share for case, share in shares.items() if case.startswith(kinds)}
    assert not any(others.values()), others


def test_who_is_near_does_not_depend_on_other_files(doubled: Gallery, pictures: Path) -> None:
    (pictures / OTHER).unlink()
    assert [group.kind for group in find_duplicates(doubled).groups] == ["same bytes", "same picture"]


def test_look_alikes_of_both_ways_agree_with_brute_force(indexed: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    with indexed.reader() as reader:
        encoder = indexed.active_encoder(reader)
        ids = np.arange(1, 7)
        vectors = reader.vectors(ids.tolist(), encoder)
        expected = {
            (i + 1, j + 1): float(vectors[i] @ vectors[j])
            for i in range(6)
            for j in range(i + 1, 6)
            if float(vectors[i] @ vectors[j]) >= 0.9
        }
        assert expected
        monkeypatch.setattr(lookalikes, "_BLOCK", 2)
        for spec in (IndexSpec.parse("Exact"), IndexSpec.parse("SQfp16")):
            monkeypatch.setattr(indexed, "spec_in_use", lambda *_, spec=spec: spec)
            found = lookalikes._near_pairs(indexed, reader, ids, 0.9, lambda *_: None)
            assert found.keys() == expected.keys()
            assert found == pytest.approx(expected, abs=1e-3)
            monkeypatch.setattr(lookalikes, "MAX_PAIRS", len(expected) - 1)
            with pytest.raises(QueryError, match="pairs have a cosine"):
                lookalikes._near_pairs(indexed, reader, ids, 0.9, lambda *_: None)
            monkeypatch.setattr(lookalikes, "MAX_PAIRS", 100)
