"""The command line's promises: help, exit codes, formats, two-line errors; run in this process for speed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parent.parent
COMMANDS = [
    ("index",), ("search",), ("similar",), ("info",), ("tune",), ("daemon",), ("forget",), ("models",),
    ("models", "fetch"), ("models", "import"), ("models", "export"),
]  # fmt: skip

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Run:
    """``run("search", "x")`` -> exit code, stdout, stderr of ``cli.main``."""
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # so that main() leaves no trace in this process

    def call(*arguments: str | Path, gallery: Path | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["photoseek", *map(str, arguments)])
        monkeypatch.setenv("PHOTOSEEK_GALLERY", str(gallery or tmp_path / "gallery"))
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return code, os.fsdecode(out), os.fsdecode(err)

    return call


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli.app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "--help" in shown.output and len(shown.output.splitlines()) > 5


def test_every_command_is_tested() -> None:
    names = {(name,) for name in ("index", "search", "similar", "info", "tune", "daemon", "forget")}
    groups = {("models",)} | {
        ("models", str(command.name or command.callback.__name__))
        for command in cli.models_app.registered_commands
        if command.callback
    }
    assert names | groups == set(COMMANDS)


def two_lines(err: str) -> bool:
    lines = err.strip().splitlines()
    return len(lines) == 2 and lines[0].startswith("photoseek: ") and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("search",), 2, "empty"),
        (("search", "   "), 2, "empty"),
        (("search", "--without", "x"), 2, "avoid"),
        (("search", "0:x"), 2, "weight"),
        (("search", "x", "--after", "yesterday"), 2, "not a date"),
        (("search", "x", "--after", "2024", "--before", "2023"), 2, "no photo"),
        (("search", "x", "--orientation", "diagonal"), 2, "diagonal"),
        (("search", "x", "--json", "--paths"), 2, "exclude each other"),
        (("search", "--image", "/no/such.jpg"), 2, "cannot read"),
        (("search", "--image", str(ROOT / "README.md")), 2, "not an image"),
        (("search", "--image", "id:999999"), 3, "999999"),
        (("similar", "/no/such.jpg"), 2, "cannot read"),
        (("tune", "--target", "1.5"), 2, "1.5"),
        (("forget", "/no/such/folder"), 2, "holds nothing"),
        (("index", "/no/such/folder"), 2, "no folder"),
        (("index", str(ROOT / "README.md")), 2, "not a folder"),
        (("index", str(EXAMPLES), "--index-spec", "HNWS32"), 2, "HNSW32"),
        (("index", str(EXAMPLES), "--model", "ViT-B-31/openai"), 2, "ViT-B"),
        (("index", str(EXAMPLES), "--device", "tpu"), 2, "tpu"),
        (("index", str(EXAMPLES), "--precision", "fp7"), 2, "fp7"),
        (("models", "fetch", "no-such/model"), 3, "HF_HUB_OFFLINE"),
    ],
)
def test_errors_are_two_lines_with_a_stable_code(
    run: Run, indexed_examples: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    found, out, err = run(*arguments, gallery=indexed_examples)
    assert (found, out) == (code, "")
    assert words in err
    assert two_lines(err), err


def test_unknown_flags_and_commands_are_wrong_use(run: Run) -> None:
    assert run("search", "x", "--no-such-flag")[0] == 2
    assert run("serch", "x")[0] == 2
    assert run("search", "x", "-n", "0")[0] == 2


def test_nothing_indexed_yet(run: Run, tmp_path: Path) -> None:
    for arguments in (("search", "x"), ("similar", str(EXAMPLES / "animals" / "dog.jpg")), ("info",)):
        code, out, err = run(*arguments)
        assert (code, out) == (3, "")
        assert two_lines(err) and "photoseek index" in err
    assert not (tmp_path / "gallery").exists()  # looking does not make one


def test_index_without_a_folder_needs_known_ones(run: Run) -> None:
    code, _, err = run("index")
    assert code == 2
    assert "no folder" in err


def test_nothing_found_is_exit_1(run: Run, indexed_examples: Path) -> None:
    code, out, err = run("search", "a dog", "--min-score", "0.99", gallery=indexed_examples)
    assert (code, out) == (1, "")
    assert "nothing found" in err
    assert run("search", "a dog", "--camera", "leica", gallery=indexed_examples)[0] == 1


def test_plain_output(run: Run, indexed_examples: Path) -> None:
    code, out, err = run("search", "a dog", "-n", "3", gallery=indexed_examples)
    assert (code, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert all(Path(row[2]).is_file() and -1 <= float(row[1]) <= 1 for row in rows)
    assert "\x1b" not in out


def test_json_paths_and_nul_agree(run: Run, indexed_examples: Path) -> None:
    objects = [json.loads(line) for line in run("search", "a dog", "--json", gallery=indexed_examples)[1].splitlines()]
    paths = run("search", "a dog", "--paths", gallery=indexed_examples)[1].splitlines()
    nul = run("search", "a dog", "-0", gallery=indexed_examples)[1].split("\0")
    assert [o["path"] for o in objects] == paths == nul[:-1]
    assert nul[-1] == ""
    assert {"rank", "score", "path", "id", "width", "height", "taken_at"} <= set(objects[0])


def test_queries_from_a_file(run: Run, indexed_examples: Path, tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("a dog\na red bird\n", encoding="utf-8")
    code, out, err = run("search", "--queries-from", file, "-n", "3", "--jsonl", gallery=indexed_examples)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["query"] for row in rows] == ["a dog", "a red bird"]
    for row in rows:
        alone = run("search", row["query"], "-n", "3", "--paths", gallery=indexed_examples)[1].splitlines()
        assert [hit["path"] for hit in row["hits"]] == alone
    assert run("search", "--queries-from", file, "--min-score", "0.99", gallery=indexed_examples)[0] == 1


@pytest.mark.parametrize("more", [("a cat",), ("--paths",), ("-0",), ("--without", "x")])
def test_queries_from_a_file_stand_alone(run: Run, indexed_examples: Path, tmp_path: Path, more: tuple[str]) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("a dog\n")
    code, out, err = run("search", "--queries-from", file, *more, gallery=indexed_examples)
    assert (code, out) == (2, "") and two_lines(err)
    file.write_text("a dog\n \n")
    code, out, err = run("search", "--queries-from", file, gallery=indexed_examples)
    assert code == 2 and two_lines(err) and "line 2: the query is empty" in err


def test_an_image_of_the_gallery_by_id(run: Run, indexed_examples: Path) -> None:
    first = json.loads(run("search", "a dog", "--json", "-n", "1", gallery=indexed_examples)[1])
    by_id = run("similar", f"id:{first['id']}", "--paths", gallery=indexed_examples)[1]
    by_path = run("similar", first["path"], "--paths", gallery=indexed_examples)[1]
    assert by_id == by_path
    assert first["path"] not in by_id.splitlines()


def test_a_long_text_is_reported(run: Run, indexed_examples: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run("search", "a dog and " * 30, gallery=indexed_examples)[0] == 0
    assert "only its beginning counts" in caplog.text


def test_info_tells_what_is_there(run: Run, indexed_examples: Path) -> None:
    code, out, _ = run("info", gallery=indexed_examples)
    assert code == 0
    for words in ("120", "builtin-64", "Exact", str(EXAMPLES), "complete"):
        assert words in out
    facts = json.loads(run("info", "--json", gallery=indexed_examples)[1])
    assert facts["images"] == 120
    assert facts["failures"] == 0
    assert facts["bytes_on_disk"]["catalog"] > 0 and facts["bytes_on_disk"]["index"] > 120 * 256 * 4


def test_models_lists_every_row(run: Run) -> None:
    from retrieval.encoders.models import MODELS

    code, out, _ = run("models")
    assert code == 0
    assert all(name in out for name in MODELS)
    rows = [json.loads(line) for line in run("models", "--json")[1].splitlines()]
    assert [row["name"] for row in rows if row["default"]] == ["builtin-64"]
    assert all(row["licence"] for row in rows)


def test_profile_names_the_bottleneck(run: Run, tmp_path: Path) -> None:
    code, _, err = run("index", EXAMPLES / "birds", "--profile")
    assert code == 0
    assert "bottleneck" in err and "decode" in err and "encode" in err


def test_quiet_is_quiet(run: Run) -> None:
    assert run("index", EXAMPLES / "birds", "--quiet") == (0, "", "")


def test_tune_prints_what_was_tried(run: Run, indexed_examples: Path) -> None:
    code, out, err = run("tune", "--target", "0.95", "-n", "5", gallery=indexed_examples)
    assert code == 0
    head, *rows = [line.split("\t") for line in out.splitlines()]
    assert head == ["effort", "recall@5 pictures", "recall@5 texts", "p50 ms", "p99 ms", "chosen"]
    assert [(row[0], row[1], row[2], row[5]) for row in rows] == [("default", "1.0000", "1.0000", "*")]
    assert "Exact reaches recall@5 0.95 and has nothing to tune" in err


@pytest.mark.parametrize("asked", ['"a dog" -n 120 --json', "--queries-from - < <(yes dog | head -n 600)"])
def test_a_closed_pipe_is_no_error(indexed_examples: Path, asked: str) -> None:
    command = f'"{sys.executable}" "{ROOT / "cli.py"}" search {asked} | head -n 1'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=os.environ | {"PHOTOSEEK_GALLERY": str(indexed_examples)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_table_on_a_terminal_links_paths(indexed_examples: Path) -> None:
    from retrieval.engine import QueryEngine
    from retrieval.gallery import Gallery
    from retrieval.output import choose_format, write_hits
    from retrieval.query import Query

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with QueryEngine(Gallery(indexed_examples)) as engine:
        found = engine.search(Query.text("a dog", k=2))
    write_hits(found, choose_format(out, as_json=False, paths=False, null=False), out)
    shown = out.getvalue()
    assert "score" in shown and "rank" in shown
    assert "\x1b]8;" in shown  # OSC 8: a clickable link
    assert Path(found[0].image.path).as_uri() in shown
