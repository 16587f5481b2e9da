"""Files that cannot be indexed: noted once with a reason, tried again only when there is a reason to."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Vectors
from retrieval.encoders.base import Pixels
from retrieval.errors import EncoderError
from retrieval.gallery import Gallery
from retrieval.indexing import candidates, pipeline
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.indexer import Indexer
from retrieval.pictures import decoding, optional
from retrieval.pictures.passed_over import summed
from retrieval.regular_files import NOT_REGULAR
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture, save_picture
from tests.retrieval.states import check_agreement, failing, found, ids, opened_below, present, rows, settled, touch

BAD = ["cut.jpg", "empty.png", "huge.png", "strip.png", "text.gif", "zeros.webp"]


@pytest.fixture
def bad(photos: Path) -> Path:
    """``photos`` with one file of several kinds of badness."""
    whole = save_picture(photos / "cut.jpg", "red", size=(300, 200)).read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 3])
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.gif").write_text("not a picture at all")
    (photos / "zeros.webp").write_bytes(bytes(5000))
    save_picture(photos / "strip.png", "red", size=(4000, 1))
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    (photos / "huge.png").write_bytes(header + bytes(100))
    return photos


@pytest.mark.parametrize("streams", [1, 2])
def test_bad_files_are_noted_once_and_not_opened_again(gallery: Gallery, bad: Path, streams: int) -> None:
    encoder = ColourEncoder(streams=streams)
    report = Indexer(gallery, encoder).run(bad)
    assert (report.counts.failed, report.failures_known, report.counts.added) == (len(BAD), len(BAD), len(PHOTOS))
    reasons = failing(gallery)
    assert sorted(reasons) == BAD
    assert all(reason and str(bad) not in reason for reason in reasons.values())
    assert reasons["empty.png"] == "empty file"
    check_agreement(gallery, encoder)

    index = sorted((path, path.stat().st_mtime_ns) for path in (gallery.path / "index").rglob("*"))
    with opened_below(bad) as opened:
        report = Indexer(gallery, encoder).run(bad)
    assert opened == []
    assert (report.counts.failed, report.failures_known) == (0, len(BAD))
    assert report.unchanged == settled(report) == len(PHOTOS) + len(BAD)
    assert sorted((path, path.stat().st_mtime_ns) for path in (gallery.path / "index").rglob("*")) == index


def test_bad_files_are_tried_again_when_asked(gallery: Gallery, bad: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder).run(bad)
    encoder.encoded = 0
    with opened_below(bad) as opened:
        report = Indexer(gallery, encoder).run(bad, retry_failures=True)
    assert sorted(map(os.path.basename, opened)) == BAD
    assert (report.counts.failed, report.failures_known, encoder.encoded) == (len(BAD), len(BAD), 0)
    assert report.unchanged == len(PHOTOS)


def test_fixed_and_deleted_files_are_no_failures_any_more(gallery: Gallery, bad: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder).run(bad)
    replace_picture(bad / "cut.jpg", "white", seed=3)
    replace_picture(bad / "empty.png", "white", seed=4)
    (bad / "text.gif").unlink()
    touch(bad / "zeros.webp")
    report = Indexer(gallery, encoder).run(bad)
    assert (report.counts.added, report.counts.failed, report.counts.retired) == (2, 1, 0)
    assert sorted(failing(gallery)) == ["huge.png", "strip.png", "zeros.webp"]
    assert set(found(gallery, encoder, "white", k=2)) == {"cut.jpg", "empty.png"}


def test_failures_of_a_folder_that_is_gone_or_left_out_are_forgotten(
    gallery: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    for name in ("trip/bad.jpg", "out/bad.jpg", "stays/bad.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"?")
    assert Indexer(gallery, encoder).run(photos).failures_known == 3
    (photos / "trip").rename(photos.parent / "aside")
    assert Indexer(gallery, encoder).run(photos, exclude=["/out"]).failures_known == 1


def test_a_picture_that_turned_corrupt_leaves_the_results_and_comes_back_when_mended(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoder.encoded = ids(indexed, encoder, photos), 0
    mended = (photos / "green.jpg").read_bytes()
    (photos / "green.jpg").write_bytes(mended[:100])
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.failed, report.counts.retired, report.images) == (1, 0, len(PHOTOS) - 1)
    assert "green.jpg" not in found(indexed, encoder)
    check_agreement(indexed, encoder)

    (photos / "green.jpg").write_bytes(mended)
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.restored, report.failures_known, report.reused, encoder.encoded) == (1, 0, 1, 0)
    assert ids(indexed, encoder, photos) == before
    assert "green.jpg" in found(indexed, encoder)
    check_agreement(indexed, encoder)


def test_a_mended_copy_with_its_old_time_comes_back(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    was, data = (photos / "green.jpg").stat(), (photos / "green.jpg").read_bytes()
    (photos / "green.jpg").write_bytes(b"?")
    Indexer(indexed, encoder).run(photos)
    (photos / "green.jpg").write_bytes(data)
    os.utime(photos / "green.jpg", ns=(was.st_mtime_ns, was.st_mtime_ns))
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.restored, report.failures_known) == (1, 0)
    assert "green.jpg" in found(indexed, encoder)


def test_a_broken_link_is_noted_once_and_a_link_that_broke_is_retired(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    target = save_picture(photos.parent / "target.jpg", "white")
    (photos / "link.jpg").symlink_to(target)
    (photos / "never.jpg").symlink_to(photos.parent / "nowhere.jpg")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.added, failing(indexed)) == (1, {"never.jpg": "broken symbolic link"})
    target.unlink()
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.failed, sorted(failing(indexed))) == (1, ["link.jpg", "never.jpg"])
    assert "link.jpg" not in found(indexed, encoder)

    (change,) = rows(indexed, "SELECT change FROM state")
    report = Indexer(indexed, encoder).run(photos)
    assert settled(report) == len(PHOTOS) + 2
    assert rows(indexed, "SELECT change FROM state") == [change]
    save_picture(target, "white")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.restored, sorted(failing(indexed))) == (1, ["never.jpg"])


def _denying(monkeypatch: pytest.MonkeyPatch, *names: str, error: type[OSError] = PermissionError) -> None:
    read = pipeline.read_candidate

    def denied(candidate: Candidate, between: Callable[[], None]) -> tuple[bytes, Candidate]:
        if candidate.name in names:
            raise error(13, "Permission denied")
        return read(candidate, between)

    monkeypatch.setattr(pipeline, "read_candidate", denied)


def test_what_may_pass_is_tried_again_on_every_run(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _denying(patch, "green.jpg")
        for _ in range(2):
            report = Indexer(gallery, encoder).run(photos)
            assert (report.counts.failed, failing(gallery)) == (1, {"green.jpg": "permission denied"})
    report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.added, report.failures_known, report.images) == (1, 0, len(PHOTOS))
    check_agreement(gallery, encoder)


def test_a_failure_that_repeats_does_not_save_the_index_again(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_picture(photos / "denied.jpg", "red", seed=8)
    _denying(monkeypatch, "denied.jpg")
    Indexer(indexed, encoder).run(photos)
    index = sorted((path, path.stat().st_mtime_ns) for path in (indexed.path / "index").rglob("*"))
    assert Indexer(indexed, encoder).run(photos).counts.failed == 1
    assert sorted((path, path.stat().st_mtime_ns) for path in (indexed.path / "index").rglob("*")) == index


def test_an_unreadable_file_leaves_another_encoder_its_picture(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, other = present(indexed, encoder), ColourEncoder(name="other")
    with monkeypatch.context() as patch:
        _denying(patch, "green.jpg", error=OSError)
        report = Indexer(indexed, other).run(photos)
    assert (report.counts.failed, report.still_searching_with) == (1, "colour")
    assert present(indexed, encoder) == before
    assert "green.jpg" in found(indexed, encoder)
    report = Indexer(indexed, other).run(photos)
    assert (report.encoded, report.still_searching_with, report.failures_known) == (1, None, 0)
    check_agreement(indexed, other)


def test_a_file_that_changes_while_it_is_read_is_tried_again(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat = os.fstat
    inode = (photos / "green.jpg").stat().st_ino
    looked = []

    def growing(descriptor: int) -> os.stat_result:
        answer = fstat(descriptor)
        if answer.st_ino == inode:
            looked.append(descriptor)
            touch(photos / "green.jpg")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", growing)
        report = Indexer(gallery, encoder).run(photos)
    assert len(looked) == 3
    assert (report.counts.failed, failing(gallery)) == (1, {"green.jpg": "changed while it was read"})
    assert Indexer(gallery, encoder).run(photos).counts.added == 1
    assert failing(gallery) == {}


def test_a_file_over_the_limit_is_not_read(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "MAX_FILE_BYTES", 5 << 20)
    with (photos / "big.jpg").open("wb") as file:
        file.truncate(7 << 20)
    report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.failed, failing(gallery)) == (1, {"big.jpg": "file of 7 MiB, limit is 5 MiB"})


class Choosy(ColourEncoder):
    """Fails on any batch with a bright green picture in it, as a tower that overflows does."""

    def encode_images(self, pixels: Pixels) -> Vectors:
        means = pixels.astype(np.float32).mean(axis=(2, 3))
        if bool(((means[:, 1] > 150) & (means[:, 0] < 100)).any()):
            raise EncoderError("the encoder returned a zero or non-finite embedding", "try fp32")
        return super().encode_images(pixels)


@pytest.mark.parametrize("streams", [1, 2])
def test_a_picture_that_the_encoder_refuses_does_not_take_its_batch_with_it(
    gallery: Gallery, photos: Path, streams: int
) -> None:
    encoder = Choosy(streams=streams, batch_size=16)
    report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.added, report.counts.failed) == (len(PHOTOS) - 1, 1)
    assert failing(gallery) == {"green.jpg": "the encoder returned a zero or non-finite embedding"}
    check_agreement(gallery, encoder)


def test_progress_counts_the_files_of_this_run_that_failed(
    gallery: Gallery, encoder: ColourEncoder, photos: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    failed: list[int] = []
    for expected in (1, 0):  # what is known to fail is not opened again
        Indexer(gallery, encoder).run(photos, on_progress=lambda progress: failed.append(progress.failed))
        assert failed[-1] == expected


@pytest.mark.parametrize("where", ["read", "decode", "encode"])
def test_low_memory_is_no_fault_of_the_picture(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def refuse(*_args: object, **_named: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        if where == "read":
            patch.setattr(candidates, "open_regular", refuse)
        elif where == "decode":
            patch.setattr(decoding, "open_image", refuse)
        else:
            patch.setattr(encoder, "encode_images", refuse)
        report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.failed, report.failures_passing) == (len(PHOTOS), len(PHOTOS))
    assert set(failing(gallery).values()) == {"not enough memory"}
    report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.added, report.failures_known) == (len(PHOTOS), 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("out of memory error when reading image file", "not enough memory"),
        ("Memory allocation error: Unspecified", "not enough memory"),
        ("std::bad_alloc", "not enough memory"),
        ("[Errno 12] Cannot allocate memory", "not enough memory"),
        ("Memory allocation error: Security limit exceeded", "damaged JPEG file"),
    ],
)
def test_decoders_say_in_many_ways_that_memory_is_short(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch, said: str, reason: str
) -> None:
    def refuse(_data: bytes, _form: str) -> None:
        raise OSError(said)

    monkeypatch.setattr(decoding, "open_image", refuse)
    Indexer(gallery, encoder).run(photos)
    assert failing(gallery)["green.jpg"] == reason


def test_a_file_that_becomes_a_pipe_before_it_is_read_keeps_nobody_waiting(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = candidates.open_regular

    def swapped(path: str) -> object:
        if path.endswith("green.jpg") and not stat.S_ISFIFO(os.lstat(path).st_mode):
            Path(path).unlink()
            os.mkfifo(path)
        return real(path)

    monkeypatch.setattr(candidates, "open_regular", swapped)
    report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.added, failing(gallery)) == (len(PHOTOS) - 1, {"green.jpg": NOT_REGULAR})


def test_what_is_no_picture_is_counted_by_kind_and_files_without_extension_are_looked_at(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional.Extra, "is_installed", lambda self: False)
    folder = tmp_path / "photos"
    save_picture(folder / "a.png", "red", seed=1).rename(folder / "IMG_1")
    save_picture(folder / "b.jpg", "red", seed=2).rename(folder / "DSCF0001.MPO")
    for name in ("c.CR2", "d.nef", "e.cr2", "f.mov", "g.psb", "h.txt", "README", "i.xyz", ".hidden", "Scan 2021.05.06"):
        (folder / name).write_text("x")
    report = Indexer(gallery, encoder).run(folder)
    assert (report.counts.added, report.failures_known) == (2, 0)
    assert report.passed_over == {
        "RAW": {"cr2": 2, "nef": 1},
        "without extension": {"": 2},
        "video": {"mov": 1},
        "other picture formats": {"psb": 1},
        "documents": {"txt": 1},
        "other files": {"xyz": 1},
    }
    with gallery.reader() as reader:
        assert summed(reader.passed_over()) == report.passed_over
    again = Indexer(gallery, encoder).run(folder)
    assert (again.unchanged, again.passed_over) == (2, report.passed_over)
    (folder / "IMG_1").write_text("no picture any more")
    assert Indexer(gallery, encoder).run(folder).counts.failed == 1
