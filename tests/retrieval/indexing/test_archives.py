"""Runs over tars: members are pictures like files, and an archive that is damaged or gone loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.comparison import Looks
from retrieval.indexing.dry_run import DryRun
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.wishes import Wishes
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.xmp_writing import write_xmp
from retrieval.maintenance.verify import verify
from retrieval.rendering.copies import place_hits
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query, Term
from tests.fakes import ColourEncoder
from tests.retrieval.sources.tars import jpeg, link, save_tar
from tests.retrieval.states import check_agreement, failing, found, ids, present

RED, BLUE, GREEN = jpeg("red"), jpeg("blue"), jpeg("green")


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    files = [("0.jpg", RED), ("0.json", b"{}"), ("sub/1.jpg", BLUE), ("bad.jpg", b"no picture"), (".hidden.jpg", RED)]
    return save_tar(tmp_path / "shards" / "s-0.tar", files, link("l.jpg", "0.jpg"))


def test_a_tar_is_indexed_like_a_folder(gallery: Gallery, encoder: ColourEncoder, shard: Path) -> None:
    report = Indexer(gallery, encoder).run(shard)
    assert (report.counts.added, report.counts.failed, report.encoded, report.problems) == (2, 1, 2, [])
    assert set(ids(gallery, encoder, shard)) == {"0.jpg", "sub/1.jpg"}
    assert failing(gallery).keys() == {"bad.jpg"}
    assert report.passed_over == {"sidecars": {"json": 1}, "other files": {"links, devices, odd names": 1}}
    check_agreement(gallery, encoder)
    assert found(gallery, encoder, "blue", k=1) == ["1.jpg"]
    encoder.encoded = 0
    again = Indexer(gallery, encoder).run()  # by now it is known
    assert (again.unchanged, again.encoded, again.problems) == (3, 0, [])


def test_tars_in_folders_are_listed_if_asked_and_from_then_on(
    gallery: Gallery, encoder: ColourEncoder, shard: Path
) -> None:
    report = Indexer(gallery, encoder).run(shard.parent)
    assert (report.counts.added, report.passed_over) == (0, {"archives": {"tar": 1}})
    assert Indexer(gallery, encoder).run(shard.parent, archives=True).counts.added == 2
    save_tar(shard.parent / "s-1.tar", [("2.jpg", GREEN)])
    report = Indexer(gallery, encoder).run(shard.parent)
    assert (report.unchanged, report.counts.retired, report.passed_over["archives"]) == (3, 0, {"tar": 1})
    assert Indexer(gallery, encoder).run(shard.parent, archives=True).counts.added == 1
    dry = DryRun(gallery, model="builtin-224").run((), Wishes(), Looks())
    assert (dry.counts.encoded_again, dry.counts.added, dry.counts.retired, dry.problems) == (3, 0, 0, [])
    report = Indexer(gallery, encoder).run(shard.parent, exclude=["s-0.tar"])
    assert report.counts.retired == 2


def test_members_come_change_and_vanish_with_a_new_version_of_the_archive(
    gallery: Gallery, encoder: ColourEncoder, shard: Path
) -> None:
    Indexer(gallery, encoder).run(shard)
    before, encoder.encoded = ids(gallery, encoder, shard), 0
    save_tar(shard, [("0.jpg", GREEN), ("sub/2.jpg", BLUE), ("3.jpg", jpeg("white"))])
    report = Indexer(gallery, encoder).run()
    after = ids(gallery, encoder, shard)
    assert set(after) == {"0.jpg", "sub/2.jpg", "3.jpg"}
    assert after["sub/2.jpg"] == before["sub/1.jpg"], "the same bytes under another name were moved"
    assert (report.counts.updated, report.counts.moved, report.counts.added, encoder.encoded) == (1, 1, 1, 2)
    check_agreement(gallery, encoder)


def test_a_damaged_or_missing_archive_is_reported_once_and_keeps_its_pictures(
    gallery: Gallery, encoder: ColourEncoder, shard: Path
) -> None:
    save_tar(shard.parent / "s-1.tar", [("2.jpg", GREEN)])
    Indexer(gallery, encoder).run(shard.parent, archives=True)
    data = shard.read_bytes()
    shard.write_bytes(data[:1500])
    report = Indexer(gallery, encoder).run()
    (problem,) = report.problems
    assert (problem.path, problem.images_kept, report.counts.retired) == (str(shard), 2, 0)
    assert "whole tar" in problem.reason
    shard.write_bytes(data)
    report = Indexer(gallery, encoder).run()
    assert (report.counts.added, report.encoded, report.counts.retired) == (0, 0, 0)
    shard.unlink()  # few pictures: believed, as for a folder
    assert Indexer(gallery, encoder).run().counts.retired == 2
    assert set(ids(gallery, encoder, shard.parent)) == {"s-1.tar/2.jpg"}


def test_a_named_archive_that_is_gone_keeps_its_pictures(gallery: Gallery, encoder: ColourEncoder, shard: Path) -> None:
    Indexer(gallery, encoder).run(shard)
    shard.rename(shard.with_name("elsewhere"))
    report = Indexer(gallery, encoder).run()
    assert [(each.path, each.images_kept, each.is_absence) for each in report.problems] == [(str(shard), 2, True)]
    with pytest.raises(SettingsError, match="is not a folder"):
        Indexer(gallery, encoder).run(shard.with_name("elsewhere"))


def test_an_unpacked_archive_has_the_same_paths_and_pictures(
    gallery: Gallery, encoder: ColourEncoder, shard: Path
) -> None:
    Indexer(gallery, encoder).run(shard.parent, archives=True)
    before, encoder.encoded = present(gallery, encoder), 0
    shard.unlink()
    (shard / "sub").mkdir(parents=True)
    (shard / "0.jpg").write_bytes(RED)
    (shard / "sub" / "1.jpg").write_bytes(BLUE)
    Indexer(gallery, encoder).run()
    assert present(gallery, encoder) == before
    assert encoder.encoded == 0


def test_a_known_member_is_searched_shown_copied_and_verified_and_never_written(
    gallery: Gallery, encoder: ColourEncoder, shard: Path, tmp_path: Path
) -> None:
    Indexer(gallery, encoder).run(shard)
    with QueryEngine(gallery, encoder) as engine:
        (hit,) = engine.search(Query.text("red", k=1))
        assert (hit.image.path, hit.image.on_disk()) == (f"{shard}/0.jpg", "same")
        (alike,) = engine.search(Query((Term("image", Path(f"{shard}/sub/1.jpg")),), k=1))
        assert alike.image.path == f"{shard}/sub/1.jpg"
        with hit.image.open() as file:
            assert file.read() == RED
        placed = list(place_hits([hit], tmp_path / "out"))
        assert [each.result for each in placed] == ["new"]
        assert placed[0].place is not None
        assert placed[0].place.read_bytes() == RED
        assert [each.result for each in place_hits([hit], tmp_path / "out")] == ["there"]
        (linked,) = place_hits([hit], tmp_path / "links", link=True)
        assert (linked.result, linked.reason) == (
            "failed",
            "it is no file of its own, to which a link could lead: export copies instead",
        )
    files = next(each for each in verify(gallery) if each.part == "files")
    assert (files.state, files.message) == ("sound", "2 pictures as indexed")
    edit_labels(gallery, [f"{shard}/0.jpg"], LabelEdit(tags=("mine",)))
    report = write_xmp(gallery)
    assert report.problems == {f"{shard}/0.jpg": "it is a member of an archive, which photoseek only reads"}
    assert list(shard.parent.iterdir()) == [shard]


def test_members_are_forgotten_and_stay_so(gallery: Gallery, encoder: ColourEncoder, shard: Path) -> None:
    Indexer(gallery, encoder).run(shard)
    forget_paths(gallery, [f"{shard}/0.jpg"])
    assert set(ids(gallery, encoder, shard)) == {"sub/1.jpg"}
    Indexer(gallery, encoder).run()
    assert set(ids(gallery, encoder, shard)) == {"sub/1.jpg"}
    forget_paths(gallery, [shard], purge=True)
    assert ids(gallery, encoder, shard) == {}
