"""A run over some folders leaves nothing that a run over everything would find there."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.focus import Focus
from retrieval.indexing.indexer import Indexer
from tests.fakes import ColourEncoder
from tests.pictures import save_picture


def paths(gallery: Gallery) -> set[str]:
    with gallery.reader() as reader:
        return {record.path for record in reader.records(reader.select(Filter()).tolist())}


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_left_for_a_run_over_everything(tmp_path: Path, gallery: Gallery, seed: int) -> None:
    draw = random.Random(seed)
    root = tmp_path / "photos"
    folders = [root, *(root / a / b for a in "xy" for b in "12")]
    for number in range(12):
        save_picture(draw.choice(folders) / f"{number}.png", "red", seed=number)
    indexer = Indexer(gallery, ColourEncoder())
    indexer.run(root)
    for round_ in range(4):
        touched: set[str] = set()
        for number in range(3):
            here = sorted(root.rglob("*.png"))
            there = sorted(path for path in root.rglob("*") if path.is_dir())
            what = draw.choice(["new", "deep", "delete", "move", "tree", "drop"])
            name = f"{round_}-{number}.png"
            if what == "new":
                touched.add(str(save_picture(root / name, "blue", seed=100 + round_ * 10 + number).parent))
            elif what == "deep":
                save_picture(root / f"new {round_}{number}" / "a" / name, "blue", seed=200 + round_ * 10 + number)
                touched.add(str(root))
            elif what == "delete" and len(here) > 3:
                here[0].unlink()
                touched.add(str(here[0].parent))
            elif what == "move" and here:
                here[-1].rename(root / name)
                touched |= {str(here[-1].parent), str(root)}
            elif what == "tree" and there:
                there[-1].rename(root / f"moved {round_}{number}")
                touched |= {str(there[-1].parent), str(root)}
            elif what == "drop" and len(there) > 2:
                shutil.rmtree(there[0])
                touched.add(str(there[0].parent))
        indexer.run(root, focus=Focus(touched))
        assert paths(gallery) == {str(path) for path in root.rglob("*.png")}
    report = indexer.run(root)
    assert not any(vars(report.counts).values()), report.counts


def test_held_files_are_left_as_they_are_known(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before = paths(indexed)
    save_picture(photos / "red-1.jpg", "blue", seed=50)
    save_picture(photos / "new.jpg", "blue", seed=51)
    held: list[str] = []

    def is_held(candidate: object) -> bool:
        held.append(candidate.name)  # type: ignore[attr-defined]
        return True

    report = Indexer(indexed, encoder).run(photos, focus=Focus([str(photos)], is_held=is_held))
    assert sorted(held) == ["new.jpg", "red-1.jpg"] and not any(vars(report.counts).values())
    assert paths(indexed) == before


def test_what_is_left_out_stays_so(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    hidden = photos / ".hidden" / "deep"
    save_picture(hidden / "a.jpg", "red", seed=60)
    (photos / "trip" / ".photoseekignore").write_text("secret/\n")
    save_picture(photos / "trip" / "secret" / "b.jpg", "red", seed=61)
    before = paths(indexed)
    places = [str(hidden), str(photos / "trip" / "secret"), str(photos / "nowhere" / "x"), "/elsewhere"]
    Indexer(indexed, encoder).run(photos, focus=Focus(places, places))
    assert paths(indexed) == before


def test_a_root_that_is_suddenly_empty_is_not_believed(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before = paths(indexed)
    for each in sorted(photos.iterdir()):
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    report = Indexer(indexed, encoder).run(photos, focus=Focus([str(photos)]))
    assert report.problems and paths(indexed) == before


def test_links_are_walked_as_in_any_run(tmp_path: Path, gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder).run(photos)
    other = tmp_path / "other"
    save_picture(other / "linked.jpg", "red", seed=62)
    (photos / "link").symlink_to(other)
    (photos / "round").symlink_to(photos)
    Indexer(gallery, encoder).run(photos, focus=Focus([str(photos)]))
    linked = str(photos / "link" / "linked.jpg")
    assert linked in paths(gallery)
    report = Indexer(gallery, encoder).run(photos)
    assert not any(vars(report.counts).values()) and linked in paths(gallery)
