"""Shots that lie there as RAW and as JPEG: one hit, whatever is asked; never copies of each other."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from retrieval.catalog.shots import Member, shots
from retrieval.duplicates import find_duplicates
from retrieval.duplicates.keeper import KeeperRule
from retrieval.duplicates.plan import make_plan
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.sidecars import import_xmp
from retrieval.output import write_hits
from retrieval.search.engine import QueryEngine
from retrieval.search.pages import Listing, browse, find_page
from retrieval.search.query import Query
from retrieval.search.shots import Shots, with_mates_named
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.raw_files import dng, jpeg, scene
from tests.retrieval.states import ids

pytest.importorskip("rawpy")

TAKEN = "2023:05:06 07:08:09"
_A, _B, _C, _D = (250, 20, 20), (110, 10, 10), (220, 110, 100), (70, 20, 20)
SCENES = [(_A, _B, _C, _D), (_A, _B, _D, _C), (_A, _C, _D, _B)]
"""Of reds; none is another one turned or mirrored."""


def shot(folder: Path, name: str, *, taken: str = TAKEN, raw_taken: str = TAKEN, seed: int = 0) -> None:
    """A RAW and the JPEG that the camera stored beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = scene(240, 160, quarters=SCENES[seed])
    exif = Image.Exif()
    exif[0x9003] = taken
    (folder / f"{name}.DNG").write_bytes(dng(seen, preview=jpeg(seen), taken=raw_taken))
    (folder / f"{name}.jpg").write_bytes(jpeg(seen, exif=exif))


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """Two shots in both forms, a JPEG and a RAW alone, and a name that a counter gave twice."""
    folder = tmp_path / "camera"
    shot(folder, "IMG_1")
    shot(folder, "IMG_2", seed=1)
    shot(folder, "IMG_3", seed=2, raw_taken="2019:01:01 00:00:00")
    save_picture(folder / "alone.jpg", "red", seed=5)
    (folder / "raw.DNG").write_bytes(dng(scene(240, 160, quarters=(_D, _D, _A, _A))))
    return folder


@pytest.fixture
def shots_indexed(gallery: Gallery, camera: Path, encoder: ColourEncoder) -> Gallery:
    Indexer(gallery, encoder).run(camera)
    return gallery


def names(hits: object) -> set[str]:
    return {Path(hit.image.path).name for hit in hits}  # type: ignore[attr-defined]


EVERY_SHOT = {"IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "IMG_3.DNG", "alone.jpg", "raw.DNG"}


def test_a_shot_is_one_hit_and_its_other_file_is_named(shots_indexed: Gallery, encoder: ColourEncoder) -> None:
    with QueryEngine(shots_indexed, encoder) as engine:
        hits = engine.search(Query.text("red", k=20))
        assert names(hits) == EVERY_SHOT
        assert len(hits) == len(EVERY_SHOT)
        named = {Path(hit.image.path).name: hit for hit in with_mates_named(engine.reader, hits)}
        mates = {name: [Path(mate.path).name for mate in hit.mates] for name, hit in named.items()}
        assert mates == {name: [] for name in EVERY_SHOT} | {"IMG_1.jpg": ["IMG_1.DNG"], "IMG_2.jpg": ["IMG_2.DNG"]}

        out = io.StringIO()
        write_hits([named["IMG_1.jpg"]], "paths", out)
        assert [Path(line).name for line in out.getvalue().splitlines()] == ["IMG_1.jpg", "IMG_1.DNG"]
        out = io.StringIO()
        write_hits([named["IMG_1.jpg"]], "json", out)
        assert [Path(path).name for path in json.loads(out.getvalue())["mates"]] == ["IMG_1.DNG"]
        out = io.StringIO()
        write_hits([named["IMG_1.jpg"]], "plain", out)
        assert out.getvalue().rstrip("\n").endswith("IMG_1.jpg\tIMG_1.DNG")


@pytest.mark.parametrize("show", ["both", "jpeg", "raw"])
def test_lists_and_pages_show_the_file_that_is_asked_for(
    shots_indexed: Gallery, encoder: ColourEncoder, show: str
) -> None:
    wanted = {name.replace(".jpg", ".DNG") if show == "raw" and name[4] in "12" else name for name in EVERY_SHOT}
    listing = Listing(raw_pairs=show)  # type: ignore[arg-type]
    with QueryEngine(shots_indexed, encoder) as engine:
        assert names(find_page(engine, Query.text("red", k=20), listing).hits) == wanted
        assert names(browse(engine, None, listing, 20).hits) == wanted
        first = browse(engine, None, listing, 4)
        second = browse(engine, None, Listing(raw_pairs=listing.raw_pairs, cursor=first.next), 4)
        assert names(first.hits) | names(second.hits) == wanted and len(first.hits) + len(second.hits) == len(wanted)


def test_a_filter_that_leaves_one_file_shows_that(shots_indexed: Gallery, encoder: ColourEncoder) -> None:
    with QueryEngine(shots_indexed, encoder) as engine:
        raw = engine.search(Query.text("red", k=20, where=Filter(format="raw")))
        assert names(raw) == {"IMG_1.DNG", "IMG_2.DNG", "IMG_3.DNG", "raw.DNG"}
        # Nor is the other one named, which whoever asks for paths may want to delete.
        named = with_mates_named(engine.reader, raw, engine.selection(Filter(format="raw")))
        assert not any(hit.mates for hit in named)
        assert names(engine.search(Query.text("red", k=20, where=Filter(glob="*.dng")))) == names(raw)


def test_neither_file_is_similar_to_the_other(
    shots_indexed: Gallery, encoder: ColourEncoder, camera: Path, tmp_path: Path
) -> None:
    with QueryEngine(shots_indexed, encoder) as engine:
        for name in ("IMG_1.DNG", "IMG_1.jpg"):
            hits = engine.similar(camera / name, 20)
            assert names(hits) == EVERY_SHOT - {"IMG_1.jpg"}
            assert "IMG_1.DNG" not in names(engine.similar(camera / name, 20, where=Filter(format="raw")))
        elsewhere = shutil.copy(camera / "IMG_2.DNG", tmp_path / "query.DNG")
        assert Path(engine.similar(elsewhere, 1)[0].image.path).name == "IMG_2.jpg"


def test_a_file_that_goes_or_comes_changes_what_stands_for_the_shot(
    shots_indexed: Gallery, encoder: ColourEncoder, camera: Path
) -> None:
    (camera / "IMG_1.jpg").unlink()
    Indexer(shots_indexed, encoder).run(camera)
    with QueryEngine(shots_indexed, encoder) as engine:
        assert names(engine.search(Query.text("red", k=20))) == EVERY_SHOT - {"IMG_1.jpg"} | {"IMG_1.DNG"}
    shutil.copy(camera / "raw.DNG", camera / "alone.DNG")
    Indexer(shots_indexed, encoder).run(camera)
    with QueryEngine(shots_indexed, encoder) as engine:
        assert engine.reader.has_shots()
        pairs = {(member.image, member.shot) for member in shots(engine.reader)}
        known = ids(shots_indexed, encoder, camera)
        assert (known["alone.jpg"], known["alone.DNG"]) in pairs and (known["IMG_2.jpg"], known["IMG_2.DNG"]) in pairs
        assert known["IMG_1.DNG"] not in {image for image, _ in pairs}


def test_a_run_without_changes_writes_no_shots(shots_indexed: Gallery, encoder: ColourEncoder, camera: Path) -> None:
    with shots_indexed.reader() as reader:
        before = shots(reader)
    Indexer(shots_indexed, encoder).run(camera)
    with shots_indexed.reader() as reader:
        assert shots(reader) == before and len(before) == 4


def test_nobody_proposes_a_raw_or_its_jpeg_for_the_trash(
    shots_indexed: Gallery, encoder: ColourEncoder, camera: Path, tmp_path: Path
) -> None:
    (camera / "copies").mkdir()
    shutil.copy(camera / "IMG_1.jpg", camera / "copies" / "IMG_1.jpg")
    shutil.copy(camera / "IMG_2.DNG", camera / "copies" / "IMG_2.DNG")
    Indexer(shots_indexed, encoder).run(camera)
    found = find_duplicates(shots_indexed, look_alikes=0.5)
    plan = make_plan(found.groups, "trash", KeeperRule())
    for group in found.groups:
        members = [group.keeper, *(member.image for member in group.others)]
        if group.kind != "look-alike":
            assert len({image.format for image in members}) == 1
        else:
            stems = [Path(image.path).stem for image in members if Path(image.path).parent == camera]
            assert stems.count("IMG_1") <= 1 and stems.count("IMG_2") <= 1
    assert {(step.image.format, Path(step.image.path).stem) for step in plan.steps} == {
        ("JPEG", "IMG_1"), ("RAW", "IMG_2"),
    }  # fmt: skip


def test_the_sidecar_is_the_raws(shots_indexed: Gallery, encoder: ColourEncoder, camera: Path) -> None:
    (camera / "IMG_1.xmp").write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>beach</rdf:li>'
        "</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    assert import_xmp(shots_indexed).sidecars == 1
    with QueryEngine(shots_indexed, encoder) as engine:
        assert names(engine.search(Query.text("red", k=20, where=Filter(tag="beach")))) == {"IMG_1.DNG"}


def test_which_files_of_shots_are_shown() -> None:
    members = [Member(10, 10, True), Member(11, 10), Member(12, 10), Member(20, 20, True), Member(21, 20)]
    import numpy as np

    found = Shots(members)
    every = np.array([1, 10, 11, 12, 20, 21, 30])
    assert found.shown(every, "both").tolist() == [1, 11, 21, 30]
    assert found.shown(every, "raw").tolist() == [1, 10, 20, 30]
    assert found.shown(np.array([10, 12, 20]), "jpeg").tolist() == [12, 20]
    assert found.with_mates([12]) == (10, 11, 12) and found.with_mates([1]) == (1,) and found.with_mates([]) == ()


def test_what_cannot_be_shown_is_an_error() -> None:
    with pytest.raises(QueryError, match="RAW and JPEG"):
        Listing(raw_pairs="tiff")  # type: ignore[arg-type]
