"""The original is kept, labels of the others are added to it, and all of that can be undone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.duplicate_pictures import scene
from retrieval.duplicates.finding import find_duplicates
from retrieval.duplicates.keeper import KEEP, KeeperRule
from retrieval.duplicates.plan import make_plan
from retrieval.duplicates.run import targets_of_links
from retrieval.duplicates.trash import trash_duplicates
from retrieval.duplicates.undo import undo_trash
from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.labels.albums import create_album
from retrieval.labels.labelling import LabelEdit, edit_labels, find_images
from retrieval.labels.reading import labels_of
from retrieval.labels.sidecars import import_xmp
from tests.retrieval.duplicates.collection import contents, index, trash
from tests.retrieval.xmp_files import packet

CAMERA = "IMG_0001.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A camera's JPEG, a PNG of it, it enlarged, it with junk behind, it turned and mirrored."""
    folder = tmp_path / "camera"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0110] = "Camera X"
    exif.get_ifd(0x8769)[0x9003] = "2021:05:06 07:08:09"
    scene(12).save(folder / CAMERA, quality=92, exif=exif)
    with Image.open(folder / CAMERA) as image:
        picture = image.convert("RGB")
    picture.save(folder / "saved again.png")
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.BICUBIC).save(
        folder / "enlarged.jpg", quality=60
    )
    (folder / "junk.jpg").write_bytes((folder / CAMERA).read_bytes() + b"12345678")
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=85)
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.webp", quality=80)
    return folder


OTHERS = {"enlarged.jpg", "junk.jpg", "mirrored.webp", "saved again.png", "turned.jpg"}


def said(gallery: Gallery, path: Path) -> set[tuple[str, str]]:
    with gallery.reader() as reader:
        (labels,) = labels_of(reader, find_images(reader, [path]))
    return {(each.text, each.source) for each in (*labels.tags, *labels.captions)}


def test_the_original_is_kept_and_the_reasons_are_told(gallery: Gallery, folder: Path) -> None:
    (group,) = find_duplicates(index(gallery, folder)).groups
    assert Path(group.keeper.path).name == CAMERA
    assert {Path(member.image.path).name for member in group.others} == OTHERS
    assert group.reasons == ("it has a date and camera that others lack", "others have junk behind their end")
    assert {member.turn for member in group.others} == {1, 2, 6}


def test_without_the_cameras_facts_the_original_is_told_by_its_pixels(gallery: Gallery, folder: Path) -> None:
    with Image.open(folder / CAMERA) as image:
        plain = image.convert("RGB")
    for name in ("junk.jpg", "turned.jpg", "mirrored.webp"):
        (folder / name).unlink()
    plain.save(folder / CAMERA, quality=80)
    with Image.open(folder / CAMERA) as image:
        picture = image.convert("RGB")
    picture.save(folder / "saved again.png")
    picture.resize((1440, 1080), Image.Resampling.BICUBIC).save(folder / "enlarged.jpg", quality=60)
    (group,) = find_duplicates(index(gallery, folder)).groups
    assert Path(group.keeper.path).name == CAMERA


def test_what_the_user_prefers_is_kept(gallery: Gallery, folder: Path) -> None:
    (folder / "best").mkdir()
    (folder / "saved again.png").rename(folder / "best" / "saved again.png")
    index(gallery, folder)
    (group,) = find_duplicates(gallery, rule=KeeperRule(prefer=(str(folder / "best"),))).groups
    assert Path(group.keeper.path).name == "saved again.png" and "best" in group.reasons[0]
    names = {}
    for keep in KEEP:
        (group,) = find_duplicates(gallery, rule=KeeperRule(keep)).groups
        names[keep] = Path(group.keeper.path).name
    assert names["largest"] == "enlarged.jpg" and names["original"] == CAMERA
    with pytest.raises(SettingsError, match="no --keep"):
        KeeperRule("nicest")


def test_labels_are_merged_and_come_apart_again(gallery: Gallery, folder: Path) -> None:
    index(gallery, folder)
    edit_labels(gallery, [folder / "enlarged.jpg"], LabelEdit(tags=("beach", "sea"), caption="at sea"))
    edit_labels(gallery, [folder / CAMERA], LabelEdit(tags=("sea",)))
    before = contents(folder)
    outcomes = trash(gallery, find_duplicates(gallery).groups)
    assert all(outcome.done for outcome in outcomes) and set(contents(folder)) == {CAMERA}
    assert said(gallery, folder / CAMERA) == {("sea", "user"), ("beach", "merged"), ("at sea", "merged")}
    edit_labels(gallery, [folder / CAMERA], LabelEdit(tags=("beach", "summer")))
    assert all(outcome.done for outcome in undo_trash(gallery))
    assert contents(folder) == before
    assert said(gallery, folder / CAMERA) == {("sea", "user"), ("beach", "user"), ("summer", "user")}
    assert said(gallery, folder / "enlarged.jpg") == {("beach", "user"), ("sea", "user"), ("at sea", "user")}


def test_the_users_word_is_merged_before_that_of_xmp(gallery: Gallery, folder: Path) -> None:
    """A copy that the user rated makes way for one that only XMP rates; the favourite stays one."""
    (folder / f"{CAMERA}.xmp").write_bytes(packet(rating=2))
    index(gallery, folder)
    import_xmp(gallery)
    edit_labels(gallery, [folder / "enlarged.jpg"], LabelEdit(rating=5, favourite=True))
    create_album(gallery, "Best", [folder / "enlarged.jpg"])
    trash(gallery, find_duplicates(gallery).groups)
    with gallery.reader() as reader:
        (labels,) = labels_of(reader, find_images(reader, [folder / CAMERA]))
    assert (labels.rating, labels.ratings, labels.is_favourite) == (5, {"xmp": 2, "merged": 5}, True)
    assert labels.albums == ["Best"]
    undo_trash(gallery)
    with gallery.reader() as reader:
        (labels,) = labels_of(reader, find_images(reader, [folder / CAMERA]))
    assert (labels.rating, labels.is_favourite, labels.albums) == (2, False, [])


def test_ratings_are_merged_and_come_apart_again(gallery: Gallery, folder: Path) -> None:
    index(gallery, folder)

    def ratings(name: str) -> list[tuple[int, str]]:
        sql = """SELECT r.rating, r.source FROM ratings AS r JOIN images AS i ON i.id = r.image_id
                 WHERE i.name = :name ORDER BY r.rating"""
        with gallery.reader() as reader:
            return [tuple(row) for row in reader.rows(sql, {"name": name})]

    with gallery.writer() as catalog, catalog.transaction() as transaction:
        sql = "INSERT INTO ratings (image_id, rating, source) SELECT id, 4, 'xmp' FROM images WHERE name = ?"
        transaction.connection.exec_driver_sql(sql, ("enlarged.jpg",))
    assert ratings("enlarged.jpg") == [(4, "xmp")] and ratings(CAMERA) == []
    trash(gallery, find_duplicates(gallery).groups)
    assert ratings(CAMERA) == [(4, "merged")]
    undo_trash(gallery)
    assert ratings("enlarged.jpg") == [(4, "xmp")] and ratings(CAMERA) == []


def test_a_plan_is_what_happens_and_no_link_is_broken(gallery: Gallery, folder: Path) -> None:
    (folder / "newest").symlink_to(folder / "saved again.png")
    (folder / "to the link").symlink_to(folder / "newest")
    index(gallery, folder)
    plan = make_plan(find_duplicates(gallery).groups, "trash", KeeperRule(), targets_of_links([str(folder)]))
    assert [Path(step.image.path).name for step in plan.staying] == ["saved again.png"]
    assert "leads to it" in str(plan.staying[0].refusal)
    outcomes = trash_duplicates(gallery, plan)
    assert {o.path for o in outcomes if o.done} == {step.image.path for step in plan.going}
    assert (folder / "to the link").exists()


def test_names_of_one_file_are_no_duplicates(gallery: Gallery, folder: Path) -> None:
    os.link(folder / CAMERA, folder / "hard.jpg")
    os.link(folder / "saved again.png", folder / "hard.png")
    (folder / "link.jpg").symlink_to(folder / CAMERA)
    found = find_duplicates(index(gallery, folder))
    (group,) = found.groups
    assert found.linked == 3
    links = [member for member in group.others if member.is_linked]
    assert len(links) == 1 and group.bytes_of_others == sum(
        (folder / name).stat().st_size for name in OTHERS
    )  # fmt: skip
    assert all(outcome.done for outcome in trash(gallery, found.groups))
    assert (folder / "link.jpg").exists() and not (folder / "hard.png").exists()


def test_sidecars_go_along_and_come_back(gallery: Gallery, folder: Path) -> None:
    for name in ("junk.jpg.xmp", "junk.jpg.xmp.orig", "enlarged.xmp", "saved again.xmp", "IMG_0001.xmp"):
        (folder / name).write_text(f"<{name}/>")
    (folder / "saved again.cr2").write_bytes(b"raw")  # whose sidecar it may be
    index(gallery, folder)
    before = contents(folder)
    trash(gallery, find_duplicates(gallery).groups)
    assert set(contents(folder)) == {CAMERA, "IMG_0001.xmp", "saved again.xmp", "saved again.cr2"}
    assert all(outcome.done for outcome in undo_trash(gallery))
    assert contents(folder) == before


def test_what_knows_more_than_its_keeper_stays(gallery: Gallery, folder: Path) -> None:
    for name in OTHERS:
        (folder / name).unlink()
    with Image.open(folder / CAMERA) as image:
        small, exif = image.convert("RGB").resize((300, 225), Image.Resampling.LANCZOS), image.getexif()
        image.convert("RGB").save(folder / "stripped.jpg", quality=92)
    (folder / CAMERA).unlink()
    small.save(folder / "small.jpg", quality=90, exif=exif)
    index(gallery, folder)
    (group,) = find_duplicates(gallery).groups
    assert Path(group.keeper.path).name == "stripped.jpg"
    (step,) = make_plan([group], "trash", KeeperRule()).steps
    assert step.refusal is not None and "the camera's date and camera" in step.refusal
    assert make_plan([group], "trash", KeeperRule("largest")).going


def test_two_invoices_are_two(gallery: Gallery, tmp_path: Path) -> None:
    from benchmarks.duplicate_documents import invoice

    (tmp_path / "office").mkdir()
    for version in (0, 1):
        invoice(7, version).save(tmp_path / "office" / f"{version}.jpg", quality=85)
    shutil.copyfile(tmp_path / "office" / "1.jpg", tmp_path / "office" / "copy of 1.jpg")
    found = find_duplicates(index(gallery, tmp_path / "office"), look_alikes=0.99)
    assert [group.kind for group in found.groups] == ["same bytes", "look-alike"]
    (member,) = found.groups[1].others
    assert member.comparison is not None and member.comparison.verdict == "different"
