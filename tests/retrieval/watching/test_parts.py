"""The parts of a watcher: complete files, shares, the battery, the share of the processor, services."""

from __future__ import annotations

import plistlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.errors import SettingsError
from retrieval.indexing.candidates import Candidate
from retrieval.watching import complete, service
from retrieval.watching.complete import Completeness, is_temporary, is_written
from retrieval.watching.filesystems import is_network, mounts, network_trees, parse_mountinfo, watch_limit_advice
from retrieval.watching.politeness import CpuShare, is_on_battery


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg.part", "a.crdownload", "Unconfirmed 1.crdownload", ".a.jpg.Ab12Cd", ".syncthing.a.jpg.tmp",
        "~syncthing~a.jpg.tmp", ".a.jpg.~1a2b", "a.jpg~", "~$a.psd", ".~a.png", "a.jpg_exiftool_tmp",
        ".goutputstream-XYZ", "a.filepart", "A.TMP",
    ],
)  # fmt: skip
def test_names_of_files_in_the_making(name: str) -> None:
    assert is_temporary(name)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.part.jpg", ".hidden.jpg", "IMG~1.JPG", "sed.png", "template.jpg", "a.tmp.png"]
)
def test_names_of_complete_files(name: str) -> None:
    assert not is_temporary(name)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def ns(self) -> int:
        return int(self.seconds * 1e9)


def candidate(mtime_s: float, size: int = 5, name: str = "a.jpg") -> Candidate:
    return Candidate(1, "/nowhere", name, size, int(mtime_s * 1e9), int(mtime_s * 1e9))


def test_a_file_is_complete_when_it_rests() -> None:
    clock = Clock()
    files = Completeness(clock, clock.ns)
    assert files.is_held(candidate(1000.0)) and files.held == {"/nowhere"}
    clock.seconds += 0.3
    assert files.is_held(candidate(1000.3, 6)), "it has changed"
    clock.seconds += 0.3
    assert files.is_held(candidate(1000.3, 6))
    clock.seconds += 0.3
    files.begin()
    assert not files.is_held(candidate(1000.3, 6)) and not files.held
    assert not files.is_held(candidate(10.0)), "what was written long ago was moved here"
    assert files.is_held(candidate(10.0, name="~a.jpg~"))


def test_a_clock_that_is_ahead_keeps_nothing_waiting() -> None:
    clock = Clock()
    files = Completeness(clock, clock.ns)
    assert files.is_held(candidate(9000.0))
    clock.seconds += 1
    assert not files.is_held(candidate(9000.0))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete, "MOST_WATCHED", 10)
    clock = Clock()
    files = Completeness(clock, clock.ns)
    for number in range(50):
        files.is_held(candidate(1000.0, name=f"{number}.jpg"))
    assert len(files._seen) == 10 and files.held_files == 50


@pytest.fixture
def leases() -> Iterator[None]:
    before = signal.getsignal(signal.SIGIO)
    complete.expect_leases()
    yield
    signal.signal(signal.SIGIO, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs leases")
def test_a_file_that_is_open_for_writing(tmp_path: Path, leases: None) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    assert not is_written(str(path)) and not is_written(str(tmp_path / "none"))
    with path.open("ab"):
        if not is_written(str(path)):
            pytest.skip("this file system has no leases")
        clock = Clock()
        files = Completeness(clock, clock.ns)
        found = Candidate(1, str(tmp_path), "a.jpg", 1, int(995e9), None)
        assert files.is_held(found), "somebody writes it"
        clock.seconds += complete.WRITTEN_S
        assert not files.is_held(found), "and keeps it open without writing"
    assert not is_written(str(path))


MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:5 / /home/a\040b/nas rw - nfs4 server:/x rw
31 22 0:6 / /home/a\040b/usb rw - fuseblk /dev/sdb1 rw
32 22 0:7 / /mnt/ssh rw - fuse.sshfs u@h: rw
nonsense
"""


def test_shares_are_found() -> None:
    table = parse_mountinfo(MOUNTS)
    assert ("/home/a b/nas", "nfs4") in table
    assert network_trees("/home/a b", table) == ["/home/a b/nas"]
    assert network_trees("/home/a b/usb", table) == []
    assert network_trees("/mnt/ssh/photos", table) == ["/mnt/ssh/photos"]
    assert network_trees("/home/a b", []) == []
    assert is_network("cifs") and is_network("fuse.rclone") and not is_network("btrfs") and not is_network("fuseblk")


def test_this_machine_tells_its_mounts() -> None:
    if sys.platform.startswith("linux"):
        assert "/" in dict(mounts())
    assert "watched folders" in watch_limit_advice()


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, False),
        ({"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Charging"}}, False),
        ({"AC": {"type": "Mains", "online": "0"}, "BAT0": {"type": "Battery", "status": "Discharging"}}, True),
        ({"mouse": {"type": "Battery", "status": "Discharging", "scope": "Device"}}, False),
        ({"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Discharging"}}, False),
    ],
)
def test_the_battery(tmp_path: Path, supplies: dict[str, dict[str, str]], expected: bool) -> None:
    for name, files in supplies.items():
        for file, text in files.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(f"{text}\n")
    assert is_on_battery(tmp_path) is expected
    assert not is_on_battery(tmp_path / "none")


def test_a_share_of_the_processor() -> None:
    wall, used = Clock(), [0.0]

    def sleep(seconds: float) -> None:
        wall.seconds += seconds

    share = CpuShare(25, clock=wall, used=lambda: used[0], sleep=sleep)
    used[0], wall.seconds = 1.0, wall.seconds + 1.0
    share.wait(lambda: False)
    assert wall.seconds == pytest.approx(1004.0, abs=0.1)
    before = wall.seconds
    CpuShare(0, clock=wall, used=lambda: used[0], sleep=sleep).wait(lambda: False)
    used[0] += 100
    share.wait(lambda: True)
    assert wall.seconds == before


def test_a_unit_quotes_what_systemd_would_read() -> None:
    text = service.systemd(["/usr/bin/python", '/a b/"c" 50% $HOME \\x'], {"PHOTOSEEK_MODELS": "/m 1%"})
    assert 'ExecStart="/usr/bin/python" "/a b/\\"c\\" 50%% $$HOME \\\\x"\n' in text
    assert 'Environment="PHOTOSEEK_MODELS=/m 1%%"\n' in text
    with pytest.raises(SettingsError, match="cannot stand in a service"):
        service.service(["a", "b\nExecStop=evil"], {}, "/g")


def test_an_agent_is_a_property_list() -> None:
    text = service.launchd("name", ["/a b", "<&>"], {"A": "1"})
    assert plistlib.loads(text.encode())["ProgramArguments"] == ["/a b", "<&>"]


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_changed_service_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    first, second = (service.service(["/p", folder], {}, "/g", platform) for folder in ("/a", "/b"))
    assert not service.uninstall(first)
    service.install(first)
    service.install(second)
    assert second.path == first.path and "/b" in first.path.read_text()
    first.path.write_text(first.path.read_text().replace("/b", "/mine"))
    for act in (service.install, service.uninstall):
        with pytest.raises(SettingsError, match="changed by somebody"):
            act(first)
    service.install(first, force=True)
    assert service.uninstall(first) and not first.path.exists()
    with pytest.raises(SettingsError, match="neither"):
        service.service(["a"], {}, "/g", "win32")
