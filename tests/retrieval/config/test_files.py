"""Files of settings: what is read of them, what is told of them, and that changes leave the rest as it is."""

from __future__ import annotations

import logging
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.config import files, process
from retrieval.config.checking import check, row_of, values_in
from retrieval.config.editing import change, replace, template, with_value
from retrieval.config.files import _flat, _plain, parsed
from retrieval.config.kinds import OnOff, toml
from retrieval.config.table import SETTINGS, Setting
from retrieval.errors import SettingsError

PIECES = [
    "a = 1", "b = true", 'c = "text"', "[t]", "[t.u]", "[[v]]", "d = [1, 2]", "# comment", "", "a = 01", "a.b = 3",
    'c = "#"', "c = '''", "'''", "d = 1 # one", "e = 1979-05-27", "f = -3", 'g = "\\n"', "x", "[t", "t = 1", "u = 2",
    "\t", 'h = "\u00a0"', "i = 1_000", "j = 0x1f", "k = {a = 1}", '"l" = 2', "é = 1", "m = 2.5", "# \x01", "n =", "= 3",
    "\r",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_the_short_reader_never_says_anything_else_than_toml(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = _plain(text)
    if found is not None:
        assert found == _flat(tomllib.loads(text), "")


def test_most_files_need_no_tomllib() -> None:
    assert _plain('# mine\ngallery = "/photos"\n\n[search]\nlimit = 20\n') == {"gallery": "/photos", "search.limit": 20}
    assert _plain(template(in_gallery=False)) == {}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings" / "config.toml"
    monkeypatch.setenv("PHOTOSEEK_CONFIG", str(path))
    yield path
    process.begin()  # the next test begins with none
    monkeypatch.undo()
    process.begin()


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOTOSEEK_CONFIG")
    from platformdirs import user_config_dir

    assert files.user_file() == os.path.join(user_config_dir("photoseek"), "config.toml")


def test_the_gallery_decides_before_the_user(own: Path, tmp_path: Path) -> None:
    own.parent.mkdir()
    own.write_text("[search]\nlimit = 3\nraw-pairs = 'raw'\n")
    (tmp_path / "config.toml").write_text("[search]\nlimit = 4\n")
    process.begin()
    process.begin_gallery(str(tmp_path))
    check()
    assert process.lookup("search.limit", "") == 4 and process.lookup("search.raw-pairs", "") == "raw"
    source = process.origin("search.limit")
    assert source is not None and source[1] == str(tmp_path / "config.toml")


def some_value(row: Setting) -> object:
    if row.default is not None:
        return row.default
    return True if isinstance(row.kind, OnOff) else "/x"


def test_what_a_gallery_may_not_set_is_told_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    text = "".join(f"{row.name} = {toml(some_value(row))}\n" for row in SETTINGS)
    with caplog.at_level(logging.WARNING):
        found = values_in(text.encode(), "F", in_gallery=True)
    assert set(found) == {row.name for row in SETTINGS if row.in_gallery}
    assert not {"gallery", "models", "model", "device", "compile", "daemon", "serve.host", "serve.port"} & set(found)
    assert "may only be set in your own file" in caplog.text and "more names are ignored" in caplog.text


def test_unknown_names_are_told_with_a_suggestion(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert values_in(b"\n[serve]\nprot = 1\n", "FILE", in_gallery=False) == {}
    assert "FILE, line 3: there is no setting serve.prot; ignored (did you mean serve.port" in caplog.text
    with pytest.raises(SettingsError, match=r"serch\.limit"):
        row_of("serch.limit")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[serve]\n\nport = 70000\n", "FILE, line 3: serve.port"),
        (b"compile = 1\n", "FILE, line 1: compile"),
        (b"exclude = 'x'\n", "FILE, line 1: exclude"),
        (b'[serve]\ntitle = "a\\u001bb"\n', "FILE, line 2: serve.title"),
        (b"serve = {port = true}\n", "FILE: serve.port"),
        (b"a = 1\nb = = 2\n", "FILE, line 2: not TOML"),
        (b"a = '\xff'\n", "FILE is not text"),
        (b"a = " + b"[" * 20_000, "FILE"),
    ],
)
def test_what_is_wrong_names_file_and_line(text: bytes, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        values_in(text, "FILE", in_gallery=False)
    assert raised.value.hint


def test_pipes_and_large_files_are_refused(tmp_path: Path) -> None:
    assert files.read(str(tmp_path / "none")) == b""
    (tmp_path / "large").write_bytes(b"#" * (files.MOST_BYTES + 1))
    os.mkfifo(tmp_path / "pipe")
    for name in ("large", "pipe"):
        with pytest.raises(SettingsError, match=name):
            files.read(str(tmp_path / name))


WRITTEN = """\
# what this is

# where
gallery = "/a"   # mine
exclude = [
    "x",  # one
    "y",
]

[serve]  # the page
# port
port = 1

[search]
limit = 5
"""


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("gallery", "/b", 'gallery = "/a"   # mine', 'gallery = "/b"   # mine'),
        ("gallery", '/#"b', 'gallery = "/a"   # mine', 'gallery = "/#\\"b"   # mine'),
        ("exclude", ["z"], 'exclude = [\n    "x",  # one\n    "y",\n]', 'exclude = ["z"]'),
        ("exclude", None, 'exclude = [\n    "x",  # one\n    "y",\n]\n', ""),
        ("serve.port", 2, "port = 1", "port = 2"),
        ("serve.title", "Ours", "port = 1", 'port = 1\ntitle = "Ours"'),
        ("models", "/m", "]\n\n[serve]", ']\nmodels = "/m"\n\n[serve]'),
        ("index.workers", 2, "limit = 5\n", "limit = 5\n\n[index]\nworkers = 2\n"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_change_leaves_the_rest(name: str, value: object, old: str, new: str, newline: str) -> None:
    assert WRITTEN.count(old) == 1
    after = with_value(WRITTEN.replace("\n", newline), name, value)
    assert after == WRITTEN.replace(old, new).replace("\n", newline)


@pytest.mark.parametrize(
    "text", ["serve = {port = 1}\n", 's = """\n[serve]\n"""\n[serve]\n', "[ 'serve' ]\nport = 1\n", "["]
)
def test_what_only_an_editor_can_change_is_left(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    try:
        change(str(path), "serve.port", 2)
    except SettingsError:
        assert path.read_text() == text
    else:
        assert parsed(path.read_bytes())["serve.port"] == 2
        assert {**parsed(path.read_bytes()), "serve.port": 0} == {**parsed(text.encode()), "serve.port": 0}


def test_a_file_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path, link = tmp_path / "real.toml", tmp_path / "config.toml"
    link.symlink_to(path)
    change(str(link), "serve.port", 2)
    assert link.is_symlink() and path.read_text() == "[serve]\nport = 2\n"
    with pytest.raises(SettingsError, match="meanwhile"):
        replace(str(link), "x", before=b"other")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.toml", "real.toml"]


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_every_default_is_a_value_that_the_setting_takes(row) -> None:  # type: ignore[no-untyped-def]
    value = some_value(row)
    assert row.kind.from_toml(value) == value
    assert tomllib.loads(f"a = {toml(value)}")["a"] == value
    if not isinstance(value, list | bool):
        assert row.kind.from_text(str(value)) == value
    assert row.help and not row.help.endswith(".")


def test_texts_of_variables() -> None:
    assert OnOff().from_text("Yes") is True and OnOff().from_text("off") is False
    assert OnOff(says_no=True).from_text("0") is False and OnOff(says_no=True).from_text("1") is True
    with pytest.raises(ValueError, match="true or false"):
        OnOff().from_text("maybe")
