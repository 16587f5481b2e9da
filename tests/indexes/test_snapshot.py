from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

import indexes.manifest
import indexes.snapshot
from indexes import (
    IndexSpec,
    SnapshotCorrupt,
    SnapshotStale,
    VectorIndexError,
    load_snapshot,
    read_manifest,
    save_snapshot,
)
from indexes.factory import StoredIndex
from indexes.manifest import StoredFile
from tests.indexes.vectors import DIM, built, clustered

IDS = np.random.default_rng(1).permutation(700)
VECTORS = clustered(700)
KINDS = ("Exact", "Flat", "SQfp16", "PQ16x4fs,Refine(SQfp16)", "IVF16,SQ8", "IVF16,PQ16x4fs,Refine(Flat)", "HNSW16")

each_kind = pytest.mark.parametrize("kind", KINDS)


def save(folder: Path, kind: str = "Exact", change: int = 1) -> StoredIndex:
    index = built(kind, IDS, VECTORS)
    save_snapshot(index, folder, fingerprint="tower", change=change)
    return index


def load(folder: Path, **options: Any) -> tuple[StoredIndex, int] | None:
    return load_snapshot(folder, **{"fingerprint": "tower", "dim": DIM, **options})


def data_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != "manifest.json")


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    """Change entries of the manifest and give it a checksum that fits."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text()) | changes
    body.pop("checksum")
    checksum = blake3(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path.write_text(json.dumps({**body, "checksum": checksum}))


def test_nothing_saved_is_not_an_error(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    assert load(tmp_path / "absent") is None
    assert read_manifest(tmp_path) is None


def test_the_manifest_tells_what_is_saved(tmp_path: Path) -> None:
    saved = save_snapshot(built("SQfp16", IDS, VECTORS), tmp_path, fingerprint="tower", change=42)
    manifest = read_manifest(tmp_path)
    assert manifest == saved
    assert manifest is not None
    assert (str(manifest.spec), manifest.dim, manifest.count, manifest.change) == ("SQfp16", DIM, 700, 42)
    assert manifest.fingerprint == "tower"
    assert manifest.size_bytes == sum(path.stat().st_size for path in data_files(tmp_path))


@each_kind
def test_a_second_save_replaces_the_first(kind: str, tmp_path: Path) -> None:
    index = save(tmp_path, kind)
    first = data_files(tmp_path)
    index.remove(IDS[:10])
    save_snapshot(index, tmp_path, fingerprint="tower", change=2)
    assert not set(first) & set(data_files(tmp_path))
    again, change = load(tmp_path) or pytest.fail("nothing saved")
    assert (len(again), change) == (690, 2)


@each_kind
@pytest.mark.parametrize("damage", ["half", "empty", "one byte short", "one byte long", "gone", "a folder"])
def test_wrong_lengths_are_found_before_anything_is_mapped(kind: str, damage: str, tmp_path: Path) -> None:
    save(tmp_path, kind)
    for victim in data_files(tmp_path):
        whole = victim.read_bytes()
        victim.unlink()
        if damage == "a folder":
            victim.mkdir()
        elif damage != "gone":
            cut = {"half": len(whole) // 2, "empty": 0, "one byte short": -1, "one byte long": len(whole)}[damage]
            victim.write_bytes(whole[:cut] + (b"\0" if damage == "one byte long" else b""))
        with pytest.raises(SnapshotCorrupt) as caught:
            load(tmp_path)
        assert victim.name in caught.value.message
        assert not isinstance(caught.value, SnapshotStale)
        assert "rebuilt" in caught.value.hint
        if damage == "a folder":
            victim.rmdir()
        victim.write_bytes(whole)
    assert load(tmp_path) is not None


@each_kind
@pytest.mark.parametrize("verify", [False, True])
def test_a_flipped_bit_anywhere_is_found_on_opening(kind: str, verify: bool, tmp_path: Path) -> None:
    save(tmp_path, kind)
    rng = np.random.default_rng(5)
    for victim in data_files(tmp_path):
        whole = victim.read_bytes()
        for place in [0, len(whole) - 1, *rng.integers(len(whole), size=6).tolist()]:
            bit = 1 << int(rng.integers(8))
            victim.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            with pytest.raises(SnapshotCorrupt, match="checksum in MiB 1"):
                load(tmp_path, verify=verify)
        victim.write_bytes(whole)
    assert load(tmp_path, verify=verify) is not None


@each_kind
def test_of_a_large_snapshot_a_part_is_checked_at_a_time(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its beginnings and its ids each time, what faiss follows unchecked too, the rest by and by."""
    for module in ("manifest", "snapshot"):
        monkeypatch.setattr(f"indexes.{module}.BLOCK_BYTES", 1024)
    monkeypatch.setattr("indexes.snapshot.CHECKED_BYTES", 8192)
    save(tmp_path, kind)
    for victim in data_files(tmp_path):
        whole = victim.read_bytes()
        victim.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        with pytest.raises(SnapshotCorrupt, match="checksum"):
            load(tmp_path)
        victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(SnapshotCorrupt, match="checksum"):
            load(tmp_path, verify=True)
        noticed = [False, False]
        for _ in range(400):
            try:
                load(tmp_path)
            except SnapshotCorrupt:
                noticed[1] = True
            else:
                noticed[0] = True
            if all(noticed):
                break
        always = victim.name.startswith("ids") or kind.startswith(("IVF", "HNSW")) or len(whole) <= 1024
        assert noticed == [not always, True], victim.name
        victim.write_bytes(whole)
    assert load(tmp_path) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_zeroed_swapped_and_mixed_files_are_found(kind: str, tmp_path: Path) -> None:
    """Pages that a power cut left empty, files of the same length under each other's name, two snapshots mixed."""
    save(tmp_path / "a", kind)
    save_snapshot(built(kind, IDS, clustered(700, seed=9)), tmp_path / "b", fingerprint="tower", change=1)
    ours, theirs = data_files(tmp_path / "a"), data_files(tmp_path / "b")
    for mine, other in zip(ours, theirs, strict=True):
        whole = mine.read_bytes()
        for content in (bytes(len(whole)), whole[:-512] + bytes(512), other.read_bytes()):
            if content == whole:  # the ids are the same in both
                continue
            mine.write_bytes(content)
            with pytest.raises(SnapshotCorrupt):
                load(tmp_path / "a")
        mine.write_bytes(whole)
    assert load(tmp_path / "a") is not None
    (tmp_path / "a" / "manifest.json").write_bytes((tmp_path / "b" / "manifest.json").read_bytes())
    with pytest.raises(SnapshotCorrupt, match="lacks its file"):
        load(tmp_path / "a")


@each_kind
def test_a_copy_that_was_cut_off_is_not_believed(kind: str, tmp_path: Path) -> None:
    """A backup program copies files in any order: whatever it has so far is no snapshot, or the whole one."""
    whole = tmp_path / "whole"
    save(whole, kind)
    names = sorted(path.name for path in whole.iterdir())
    for present in range(1, 2 ** len(names) - 1):
        part = tmp_path / f"part-{present}"
        part.mkdir()
        for at, name in enumerate(names):
            if present >> at & 1:
                (part / name).write_bytes((whole / name).read_bytes())
        if (part / "manifest.json").exists():
            with pytest.raises(SnapshotCorrupt, match="lacks its file"):
                load(part)
        else:
            assert load(part) is None


def test_an_index_belongs_to_one_catalog(tmp_path: Path) -> None:
    index = built("Exact", IDS, VECTORS)
    save_snapshot(index, tmp_path, fingerprint="tower", change=7, revision="named")
    asked: list[int] = []

    def revision_of(change: int) -> str | None:
        asked.append(change)
        return "named"

    assert load(tmp_path, revision_of=revision_of) is not None
    assert asked == [7]
    for other in ("another", "", None):
        with pytest.raises(SnapshotStale, match="another catalog"):
            load(tmp_path, revision_of=lambda _, other=other: other)


def test_what_the_disk_cannot_read_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path)
    real = indexes.manifest._fill

    def unreadable(file: Any, buffer: bytearray) -> int:
        if Path(file.name).name.startswith("vectors"):
            raise OSError(5, "Input/output error")
        return real(file, buffer)

    monkeypatch.setattr(indexes.manifest, "_fill", unreadable)
    with pytest.raises(SnapshotCorrupt, match="Input/output error"):
        load(tmp_path)


def test_every_flipped_byte_of_the_manifest_is_found(tmp_path: Path) -> None:
    """Above all in the change number: a higher one would skip pictures in silence."""
    save(tmp_path, change=12)
    path = tmp_path / "manifest.json"
    whole = path.read_bytes()
    noticed = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        try:
            assert load(tmp_path) is not None
        except SnapshotCorrupt:
            noticed += 1
            continue
        assert read_manifest(tmp_path) is not None  # white space: the content is the same
        assert chr(whole[place]) in " \n"
    assert noticed > len(whole) * 0.6


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"null", b"7", b'{"format_version": 1}', b"[" * 60_000, b"x" * 70_000, b"\xff\xfe"],
)
def test_a_manifest_of_nonsense_is_corrupt(text: bytes, tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(SnapshotCorrupt):
        load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 699},
        {"count": -1},
        {"count": True},
        {"change": "5"},
        {"change": 2**64},
        {"dim": "32"},
        {"spec": "Exactly"},
        {"spec": "Flat"},
        {"files": {}},
        {"files": []},
        {"revision": None, "change": None},
    ],
)
def test_a_manifest_that_lies_is_corrupt(changes: dict[str, Any], tmp_path: Path) -> None:
    save(tmp_path)
    rewrite_manifest(tmp_path, **changes)
    with pytest.raises(SnapshotCorrupt):
        load(tmp_path)


@pytest.mark.parametrize("name", ["../vectors-0123456789abcdef.npy", "/etc/passwd", "vectors.npy", ""])
def test_a_manifest_names_files_of_its_own_folder_only(name: str, tmp_path: Path) -> None:
    save(tmp_path)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    files["vectors.npy"]["name"] = name
    rewrite_manifest(tmp_path, files=files)
    with pytest.raises(SnapshotCorrupt, match="damaged"):
        load(tmp_path)


def test_another_encoder_kind_or_format_is_stale_not_damaged(tmp_path: Path) -> None:
    save(tmp_path)
    for wanted in ({"fingerprint": "other"}, {"dim": DIM + 1}, {"spec": IndexSpec.parse("Flat")}):
        with pytest.raises(SnapshotStale):
            load(tmp_path, **wanted)
    rewrite_manifest(tmp_path, format_version=1)
    with pytest.raises(SnapshotStale, match="format version 1"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("part", "array"),
    [
        ("ids.npy", np.array([[1, 2]])),
        ("ids.npy", np.arange(700, dtype=np.int32)),
        ("ids.npy", np.zeros(700, dtype=np.int64)),
        ("ids.npy", np.arange(-1, 699)),
        ("ids.npy", np.arange(699)),
        ("vectors.npy", VECTORS.astype(np.float64)),
        ("vectors.npy", VECTORS[:, :-1]),
        ("vectors.npy", np.asfortranarray(VECTORS)),
        ("vectors.npy", np.array([{"pickled": 1}], dtype=object)),
    ],
)
def test_a_consistent_lie_is_found_in_the_arrays(part: str, array: np.ndarray, tmp_path: Path) -> None:
    """Files and manifest agree, checksums included, but the content is not what an index needs."""
    save(tmp_path)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    path = tmp_path / files[part]["name"]
    np.save(path, array)
    files[part] = asdict(StoredFile.of(path))
    rewrite_manifest(tmp_path, files=files)
    with pytest.raises(SnapshotCorrupt):
        load(tmp_path)


def test_a_file_longer_than_its_header_says_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    path = tmp_path / files["vectors.npy"]["name"]
    path.write_bytes(path.read_bytes() + bytes(DIM * 4))
    files["vectors.npy"] = asdict(StoredFile.of(path))
    rewrite_manifest(tmp_path, files=files)
    with pytest.raises(SnapshotCorrupt, match="as long as its header"):
        load(tmp_path)


def test_everything_is_on_disk_before_the_manifest_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = indexes.snapshot._sync, Path.replace
    monkeypatch.setattr(indexes.snapshot, "_sync", lambda path: (events.append(path.name), sync(path)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("replace"), replace(self, to))[1])
    save(tmp_path)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    renamed = events.index("replace")
    before = events[:renamed]
    assert {file.name for file in manifest.files.values()} < set(before)
    assert before[-2].endswith(".tmp")
    assert before[-1] == tmp_path.name
    assert events[renamed + 1 :] == [tmp_path.name]


def test_faiss_files_of_another_design_are_refused(tmp_path: Path) -> None:
    """As above: a Flat file under a manifest that says SQfp16, and ids that do not match its length."""
    pytest.importorskip("faiss")
    for kind in ("Flat", "SQ8", "HNSW16,SQfp16"):
        save(tmp_path, kind)
        rewrite_manifest(tmp_path, spec="SQfp16")
        with pytest.raises(SnapshotCorrupt, match="another index"):
            load(tmp_path)
    save(tmp_path, "SQfp16")
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    path = tmp_path / files["ids.npy"]["name"]
    np.save(path, np.arange(699))
    files["ids.npy"] = asdict(StoredFile.of(path))
    rewrite_manifest(tmp_path, files=files, count=699)
    with pytest.raises(SnapshotCorrupt, match="another index"):
        load(tmp_path)


@each_kind
def test_killed_before_the_manifest_leaves_the_old_snapshot(kind: str, tmp_path: Path) -> None:
    """SIGKILL at each step of a save: the folder opens as the first save or, after the rename, the second."""
    index = save(tmp_path, kind, change=1)
    expected = index.search(VECTORS[:5], 7)
    for call in range(1, 12):
        program = (
            "import os, signal, sys; from pathlib import Path; import indexes.snapshot as s\n"
            f"left = [{call}]\n"
            "def wrap(do):\n"
            "    def step(*a, **k):\n"
            "        left[0] -= 1\n"
            "        if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
            "        return do(*a, **k)\n"
            "    return step\n"
            "index, _ = s.load_snapshot(Path(sys.argv[1]), fingerprint='tower', dim=%d)\n"
            "index.remove(index._rows.ids[:3].copy())\n"
            "s._sync = wrap(s._sync); s._discard = wrap(s._discard); s.StoredFile.of = wrap(s.StoredFile.of)\n"
            "Path.replace = wrap(Path.replace)\n"
            "s.save_snapshot(index, Path(sys.argv[1]), fingerprint='tower', change=2)\n" % DIM
        )
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=False)
        opened, change = load(tmp_path, verify=True) or pytest.fail("the snapshot is gone")
        if change == 2:
            assert len(opened) == 697
            assert call > 4  # not before every data file and the manifest were synced
            break
        assert done.returncode == -9, done.stderr.decode()
        assert (opened.search(VECTORS[:5], 7).ids == expected.ids).all()
    else:
        pytest.fail("the save never got through")
    save_snapshot(index, tmp_path, fingerprint="tower", change=3)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert {path.name for path in data_files(tmp_path)} == {file.name for file in manifest.files.values()}


def test_cleaning_up_spares_files_that_are_not_ours(tmp_path: Path) -> None:
    for name in ("notes.txt", "vectors.npy", "vectors-old.npy", "manifest.tmp"):
        (tmp_path / name).write_text("mine")
    for name in ("vectors-00000000000000aa.npy", "base-00000000000000aa.faiss", "manifest-00000000000000aa.tmp"):
        (tmp_path / name).write_text("left by a killed save")
    save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"notes.txt", "vectors.npy", "vectors-old.npy", "manifest.tmp"} <= names
    assert not any("00000000000000aa" in name for name in names)


@each_kind
def test_a_mapped_reader_outlives_newer_saves(kind: str, tmp_path: Path) -> None:
    save(tmp_path, kind)
    reader, _ = load(tmp_path, mmap=True) or pytest.fail("nothing saved")
    expected = reader.search(VECTORS[:10], 10)
    other = built(kind, IDS, clustered(700, seed=77))
    save_snapshot(other, tmp_path, fingerprint="tower", change=2)
    save_snapshot(other, tmp_path, fingerprint="tower", change=3)
    found = reader.search(VECTORS[:10], 10)
    assert (found.ids == expected.ids).all()
    assert (found.scores == expected.scores).all()
    assert load(tmp_path) is not None


def test_a_reader_overtaken_by_a_save_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest was read, then a save removed the files it names."""
    index = save(tmp_path, change=1)
    original = indexes.snapshot.read_manifest
    overtaken = []

    def read_then_save(folder: Path) -> Any:
        manifest = original(folder)
        if not overtaken:
            overtaken.append(True)
            save_snapshot(index, tmp_path, fingerprint="tower", change=2)
        return manifest

    monkeypatch.setattr(indexes.snapshot, "read_manifest", read_then_save)
    opened = load(tmp_path)
    assert opened is not None
    assert opened[1] == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(VectorIndexError, match=r"cannot be saved in .*file"):
        save(tmp_path / "file")


@each_kind
def test_a_failed_save_keeps_the_old_one_and_leaves_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = save(tmp_path, kind)
    before = {path.name for path in tmp_path.iterdir()}

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(indexes.snapshot, "_sync", full)
    with pytest.raises(VectorIndexError, match="No space left"):
        save_snapshot(index, tmp_path, fingerprint="tower", change=2)
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == before
    assert (load(tmp_path, verify=True) or pytest.fail("gone"))[1] == 1
