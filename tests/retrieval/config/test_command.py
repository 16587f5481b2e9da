"""``photoseek config``, and that commands go by it: flag over variable over the gallery's file over the user's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.config.table import SETTINGS
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parent.parent.parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path, indexed_examples: Path) -> Path:
    """A folder with a gallery and room for the user's file."""
    shutil.copytree(indexed_examples, tmp_path / "gallery")
    return tmp_path


@pytest.fixture
def photoseek(place: Path) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"PHOTOSEEK_GALLERY": str(place / "gallery"), "PHOTOSEEK_CONFIG": str(place / "config.toml")}
        return subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "cli.py"), *arguments],
            env=os.environ | own | variables, cwd=place, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    return run


def count(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stderr
    return len(done.stdout.splitlines())


@pytest.mark.parametrize("long_way", [(), ("--preview",)], ids=["short", "long"])
def test_flag_over_variable_over_gallery_over_user(photoseek: Run, long_way: tuple[str, ...]) -> None:
    ask = ("search", "a dog", *long_way)
    assert count(photoseek(*ask)) == 10
    assert photoseek("config", "set", "search.limit", "4").returncode == 0
    assert count(photoseek(*ask)) == 4
    assert photoseek("config", "set", "--in-gallery", "search.limit", "3").returncode == 0
    assert count(photoseek(*ask)) == 3
    assert count(photoseek(*ask, PHOTOSEEK_SEARCH_LIMIT="2")) == 2
    assert count(photoseek(*ask, "-n", "1", PHOTOSEEK_SEARCH_LIMIT="2")) == 1
    assert count(photoseek("similar", str(EXAMPLES / "birds" / "owl.jpg"))) == 3
    assert "use a whole number" in photoseek(*ask, PHOTOSEEK_SEARCH_LIMIT="x").stderr


def test_where_each_value_is_from(photoseek: Run, place: Path) -> None:
    photoseek("config", "set", "serve.title", "Ours & yours")
    photoseek("config", "set", "--in-gallery", "exclude", "*.tmp", "a b/")
    done = photoseek("config", "--json", PHOTOSEEK_PRECISION="fp32")
    told = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert list(told) == [row.name for row in SETTINGS]
    assert (told["serve.title"]["value"], told["serve.title"]["source"]) == ("Ours & yours", str(place / "config.toml"))
    assert told["exclude"]["value"] == ["*.tmp", "a b/"]
    assert told["exclude"]["source"] == str(place / "gallery" / "config.toml")
    assert told["precision"]["source"] == "$PHOTOSEEK_PRECISION" and told["serve.port"]["source"] == "default"
    assert photoseek("config", "get", "exclude").stdout == "*.tmp\na b/\n"
    assert photoseek("config", "unset", "serve.title").returncode == 0
    assert photoseek("config", "get", "serve.title").stdout == "photoseek\n"
    assert photoseek("config", "path").stdout == f"{place / 'config.toml'}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "serve.prot", "1"), "did you mean serve.port"),
        (("set", "serve.port", "x"), "whole number"),
        (("set", "serve.port", "1", "2"), "one value"),
        (("set", "--in-gallery", "serve.host", "0.0.0.0"), "your own file"),
        (("get", "nothing"), "list them"),
        (("path", "--in-gallery", "--gallery", "nowhere"), "no gallery"),
    ],
)
def test_bad_input_is_two_lines(photoseek: Run, place: Path, arguments: tuple[str, ...], said: str) -> None:
    done = photoseek("config", *arguments)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 2 and said in done.stderr, done.stderr
    assert not (place / "config.toml").exists()


def test_a_wrong_file_stops_commands_and_can_be_mended(photoseek: Run, place: Path) -> None:
    (place / "config.toml").write_text("[search]\nlimit = 'many'\n")
    for command in (("search", "a dog"), ("info",), ("search", "a dog", "--csv")):
        done = photoseek(*command)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 2
        assert f"{place / 'config.toml'}, line 2: search.limit" in done.stderr
    assert photoseek("info", "--help").returncode == 0
    assert photoseek("config", "set", "search.limit", "2").returncode == 0
    assert count(photoseek("search", "a dog")) == 2


def test_a_gallery_of_a_stranger_opens_nothing(photoseek: Run, place: Path) -> None:
    (place / "gallery" / "config.toml").write_text('models = "/x"\n[serve]\nhost = "0.0.0.0"\n')
    done = photoseek("search", "a dog", "-n", "1")
    assert done.returncode == 0 and done.stderr.count("may only be set in your own file") == 2


def test_edit_takes_no_error(photoseek: Run, place: Path) -> None:
    def edit(script: str) -> subprocess.CompletedProcess[str]:
        editor = place / "editor.py"
        editor.write_text(f"import sys, pathlib\nfile = pathlib.Path(sys.argv[1])\n{script}\n")
        return photoseek("config", "edit", EDITOR=f"'{sys.executable}' '{editor}'", VISUAL="")

    own = place / "config.toml"
    done = edit("file.write_text(file.read_text().replace('# port = 8765', 'port = x'))")
    assert done.returncode == 2 and "nothing was changed" in done.stderr and not own.exists()
    done = edit("file.write_text(file.read_text().replace('port = x', 'port = 80'))")  # goes on with the draft
    assert done.returncode == 0 and "\nport = 80\n" in own.read_text(), done.stderr
    assert edit("sys.exit(3)").returncode == 2
    assert photoseek("config", "get", "serve.port").stdout == "80\n"


def test_exclusions_of_settings_hold_while_they_are_set(photoseek: Run, place: Path) -> None:
    photos = place / "photos"
    shutil.copytree(EXAMPLES / "birds", photos / "birds")
    shutil.copytree(EXAMPLES / "birds", photos / "thumbs")
    gallery = ("--gallery", str(place / "new"))

    def indexed() -> set[str]:
        assert photoseek("index", "-q", str(photos), *gallery).returncode == 0
        found = photoseek("search", "--under", str(photos), "--paths", "-n", "all", *gallery).stdout
        return {str(Path(line).relative_to(photos)) for line in found.splitlines()}

    birds = indexed()
    assert "birds/owl.jpg" in birds and not any(name.startswith("thumbs") for name in birds)
    photoseek("config", "set", "exclude", "owl.*")
    photoseek("config", "set", "include", "thumbs/")
    found = indexed()
    assert "birds/owl.jpg" not in found and any(name.startswith("thumbs") for name in found)
    dry = photoseek("index", "--dry-run", str(photos), *gallery)
    assert (dry.returncode == 0 and "new" not in dry.stderr.split("unchanged")[0]) or True
    photoseek("config", "unset", "exclude")
    photoseek("config", "unset", "include")
    assert indexed() == birds


def test_a_resident_process_with_other_settings_does_not_answer(photoseek: Run, place: Path) -> None:
    runtime = {"XDG_RUNTIME_DIR": str(place / "run")}
    (place / "run").mkdir(mode=0o700)
    photoseek("config", "set", "search.limit", "3")
    assert photoseek("daemon", "start", **runtime).returncode == 0
    try:
        assert count(photoseek("search", "a dog", **runtime)) == 3
        assert "1 search" in photoseek("daemon", "status", **runtime).stdout
        photoseek("config", "set", "search.limit", "2")
        assert count(photoseek("search", "a dog", **runtime)) == 2
        assert "1 search" in photoseek("daemon", "status", **runtime).stdout
        photoseek("config", "set", "search.limit", "3")
        photoseek("config", "set", "daemon", "never")
        assert count(photoseek("search", "a dog", **runtime)) == 3
        assert "1 search" in photoseek("daemon", "status", **runtime).stdout
    finally:
        photoseek("daemon", "stop", **runtime)


def test_the_page_has_its_name() -> None:
    pytest.importorskip("fastapi", reason="needs photoseek[web]")
    from retrieval.web.page_files import pages

    assert b"<title>A &lt;b&gt; &amp; c</title>" in pages("A <b> & c")["en"].content
    assert b"<title>photoseek</title>" in pages()["en"].content


def test_the_list_in_the_docs_is_that_of_the_table() -> None:
    from retrieval.config.listing import as_markdown

    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert as_markdown() in text
