"""What --exclude and .photoseekignore leave out, against git itself where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from retrieval.errors import SettingsError
from retrieval.indexing.scan import count_files, walk
from tests.retrieval.indexing.test_scan import found, make

TREE = ("a.jpg", "b.png", "sub/a.jpg", "sub/keep.jpg", "sub/deep/a.jpg", "build/x.jpg", "sub/build/y.jpg", "tmp/z.gif")

RULES = {
    "extension": {"": ["*.jpg"]},
    "negation in the same file": {"": ["*.jpg", "!keep.jpg"]},
    "the later line wins": {"": ["!keep.jpg", "*.jpg"]},
    "negation below": {"": ["*.jpg"], "sub": ["!a.jpg"]},
    "a folder cannot be entered again": {"": ["sub/", "!sub/keep.jpg"]},
    "anchored": {"": ["/build"]},
    "folders only": {"": ["build/", "a.jpg/"]},
    "a path": {"": ["sub/deep"]},
    "relative to its own folder": {"sub": ["/a.jpg"]},
    "stars": {"": ["**/deep/**", "t?p"]},
    "comments and blanks": {"": ["# *.jpg", "", "   ", "\\#x.jpg", "b.png"]},
    "everything but": {"": ["/*", "!/sub"]},
}


def write_rules(root: Path, rules: dict[str, list[str]], name: str = ".photoseekignore") -> None:
    for folder, lines in rules.items():
        (root / folder / name).write_text("\n".join(lines) + "\n")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_rules_mean_what_they_mean_to_git(tmp_path: Path, rules: dict[str, list[str]]) -> None:
    make(tmp_path, *TREE)
    write_rules(tmp_path, rules)
    write_rules(tmp_path, rules, ".gitignore")
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, env=quiet)
    listing = ["git", "ls-files", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=tmp_path, check=True, env=quiet, capture_output=True, text=True).stdout.split()
    expected = sorted(name for name in names if name in TREE)
    assert sorted(found(tmp_path)) == expected
    assert count_files(tmp_path, stop=lambda: False) == len(expected)
    assert expected != sorted(TREE)


def test_exclude_is_relative_to_the_root_and_an_ignore_file_can_take_it_back(tmp_path: Path) -> None:
    make(tmp_path, *TREE)
    assert found(tmp_path, exclude=["/sub", "*.gif"]) == ["a.jpg", "b.png", "build/x.jpg"]
    write_rules(tmp_path, {"": ["!sub"]})
    assert "sub/keep.jpg" in found(tmp_path, exclude=["/sub"])


def test_rules_also_hold_behind_a_link(tmp_path: Path) -> None:
    make(tmp_path, "root/a.jpg", "other/a.jpg", "other/b.jpg")
    (tmp_path / "root/link").symlink_to(tmp_path / "other")
    write_rules(tmp_path / "root", {"": ["link/b.jpg"]})
    assert found(tmp_path / "root") == ["a.jpg", "link/a.jpg"]


def test_a_name_that_is_not_text_can_be_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", os.fsdecode(b"caf\xe9.jpg"))
    (tmp_path / ".photoseekignore").write_bytes(b"caf\xe9.jpg\n")
    assert found(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize("pattern", ["!", "[z-a].jpg", "a\\"])
def test_a_bad_pattern_is_a_settings_error_and_never_a_traceback(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "a.jpg", "sub/b.jpg")
    with pytest.raises(SettingsError, match="--exclude holds a pattern"):
        list(walk(tmp_path, exclude=[pattern]))
    assert count_files(tmp_path, exclude=[pattern], stop=lambda: False) == 0, "the walk tells, not the counter"
    write_rules(tmp_path, {"sub": [pattern]})
    problems = [folder for folder in walk(tmp_path) if folder.problem]
    assert [folder.path for folder in problems] == [str(tmp_path / "sub")]
    assert ".photoseekignore holds a pattern" in str(problems[0].problem)


def test_an_ignore_file_that_cannot_be_read_keeps_its_folder_as_it_was(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "sub/b.jpg", "sub/.photoseekignore/x")
    problems = [folder.problem for folder in walk(tmp_path)]
    assert problems[0] is None and "cannot read" in str(problems[1])
