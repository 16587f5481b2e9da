from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

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
from tests.indexes.vectors import DIM, built, clustered

IDS = np.random.default_rng(1).permutation(700)
VECTORS = clustered(700)
KINDS = ("Exact", "SQfp16", "PQ16x4fs,Refine(SQfp16)", "IVF16,SQ8", "HNSW16")

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
def test_a_flipped_byte_anywhere_is_found_by_verifying(kind: str, tmp_path: Path) -> None:
    save(tmp_path, kind)
    rng = np.random.default_rng(5)
    for victim in data_files(tmp_path):
        whole = victim.read_bytes()
        for place in [0, len(whole) - 1, *rng.integers(len(whole), size=6).tolist()]:
            victim.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
            with pytest.raises(SnapshotCorrupt, match="checksum"):
                load(tmp_path, verify=True)
        victim.write_bytes(whole)
    assert load(tmp_path, verify=True) is not None


@each_kind
def test_readers_check_headers_always_and_the_rest_where_it_matters(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexes.manifest.HEAD_BYTES", 4096)
    save(tmp_path, kind)
    for victim in data_files(tmp_path):
        whole = victim.read_bytes()
        victim.write_bytes(whole[:40] + b"\xff" + whole[41:])
        with pytest.raises(SnapshotCorrupt, match="checksum"):
            load(tmp_path)
        if victim.name.startswith(("vectors", "base", "refine")) and len(whole) > 4096:
            victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            if kind.startswith(("IVF", "HNSW")):
                with pytest.raises(SnapshotCorrupt, match="checksum"):
                    load(tmp_path)
            else:
                assert load(tmp_path) is not None
        victim.write_bytes(whole)


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
    rewrite_manifest(tmp_path, format_version=2)
    with pytest.raises(SnapshotStale, match="format version 2"):
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
    digest = blake3(path.read_bytes()).hexdigest()
    files[part] |= {"size": path.stat().st_size, "head": digest, "digest": digest}
    rewrite_manifest(tmp_path, files=files)
    with pytest.raises(SnapshotCorrupt):
        load(tmp_path)


def test_a_file_longer_than_its_header_says_is_refused(tmp_path: Path) -> None:
    save(tmp_path)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    path = tmp_path / files["vectors.npy"]["name"]
    path.write_bytes(path.read_bytes() + bytes(DIM * 4))
    digest = blake3(path.read_bytes()).hexdigest()
    files["vectors.npy"] |= {"size": path.stat().st_size, "head": digest, "digest": digest}
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
    digest = blake3(path.read_bytes()).hexdigest()
    files["ids.npy"] |= {"size": path.stat().st_size, "head": digest, "digest": digest}
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
