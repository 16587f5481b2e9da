"""The rules of the command line: help, exit codes, formats, two-line errors; run in this process for speed."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from retrieval.commands import COMMANDS
from retrieval.commands import app as application
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parent.parent


def every_command() -> list[tuple[str, ...]]:
    """Each command and each command of a group."""
    parser: Any = typer.main.get_command(application.app)
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        inner = getattr(parser.get_command(None, name), "commands", {})
        found += [(name,), *((name, part) for part in inner)]
    return found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Run:
    """``run("search", "x")`` -> exit code, stdout, stderr of ``application.run``."""
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # so that main() leaves no trace in this process
    monkeypatch.setattr(os, "nice", lambda by: by)  # nor in the priority of all tests that follow

    def call(*arguments: str | Path, gallery: Path | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["photoseek", *map(str, arguments)])
        monkeypatch.setenv("PHOTOSEEK_GALLERY", str(gallery or tmp_path / "gallery"))
        code = 0
        try:
            application.run()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return code, os.fsdecode(out), os.fsdecode(err)

    return call


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(application.app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "--help" in shown.output and len(shown.output.splitlines()) > 5


def test_commands_are_listed_in_the_words_of_their_own_help() -> None:
    shown = CliRunner().invoke(application.app, ["--help"]).output
    assert re.findall(r"^  (\S+)", shown.partition("Commands:")[2], re.MULTILINE) == list(COMMANDS)
    for name, command in COMMANDS.items():
        assert f"{name} {command.help}" in " ".join(shown.split())
        assert " ".join(CliRunner().invoke(application.app, [name, "--help"]).output.split()).find(command.help) > 0


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_imports_another(name: str) -> None:
    """Nor does the list of commands: each costs a cold start its own options only."""
    homes = {command.target.partition(":")[0] for command in COMMANDS.values()}
    asked = "import sys, cli\ntry:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
    for arguments, own in (([name, "--help"], {COMMANDS[name].target.partition(":")[0]}), (["--help"], set())):
        code = f"import sys; sys.argv = ['photoseek', *{arguments!r}]\n{asked}print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert homes & set(done.stdout.splitlines()[-1].split()) == own


def test_a_mistyped_command_is_told_its_nearest(run: Run) -> None:
    code, out, err = run("serch", "x")
    assert (code, out) == (2, "") and "Did you mean 'search' or 'serve'?" in err
    assert "Did you mean" not in run("qqqqqq")[2]


def two_lines(err: str) -> bool:
    """What happened and what to do; a query that cannot be read is shown between them, with a pointer below."""
    lines = err.rstrip().splitlines()
    if len(lines) == 4 and lines[2].strip() == "^":
        lines = [lines[0], lines[3]]
    return len(lines) == 2 and lines[0].startswith("photoseek: ") and "Traceback" not in err


def test_a_query_that_cannot_be_read_is_pointed_at(run: Run, indexed_examples: Path) -> None:
    code, out, err = run("search", "beach + 0:sunset", gallery=indexed_examples)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "photoseek: a weight of 0 has no effect, at character 9:",
        "           beach + 0:sunset",
        "                   ^",
        "           use a number above zero",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("search", "--min-score", "0.3"), 2, "without a query there are no scores"),
        (("search", "--relevant"), 2, "without a query nothing can be relevant"),
        (("search", "   "), 2, "empty"),
        (("search", "--without", "x"), 2, "only excludes things"),
        (("search", "0:x"), 2, "weight"),
        (("search", "x -"), 2, "nothing follows the sign"),
        (("search", "x", "+"), 2, "nothing follows the sign"),
        (("search", 'x + "y'), 2, "quote is not closed"),
        (("search", "img:https://example.org/a.jpg"), 2, "--allow-url"),
        (("search", "x", "--image", "https://example.org/a.jpg"), 2, "--allow-url"),
        (("similar", "https://example.org/a.jpg"), 2, "--allow-url"),
        (("search", "img:http://127.0.0.1/a.jpg", "--allow-url"), 2, "not a public address"),
        (("similar", "ftp://example.org/a.jpg", "--allow-url"), 2, "not ftp"),
        (("search", "a + img:/no/such.jpg"), 2, "cannot read"),
        (("search", "x", "--after", "someday"), 2, "not a date"),
        (("search", "x", "--after", "2024", "--before", "2023"), 2, "no photo"),
        (("search", "x", "--orientation", "diagonal"), 2, "diagonal"),
        (("search", "x", "--near", "98.8,2.294,5km"), 2, "latitude 98.8"),
        (("search", "x", "--near", "48.8,2.294,5"), 2, "'5'"),
        (("search", "x", "--glob", "[a-"), 2, "not closed"),
        (("search", "x", "--format", "jepg"), 2, "did you mean JPEG?"),
        (("search", "x", "--no-camera", "leica"), 2, "has a camera"),
        (("search", "x", "--format", "png", "--no-format", "PNG"), 2, "nothing passes format PNG"),
        (("search", "x", "--min-width", "0"), 2, "width"),
        (("search", "x", "--iso", "high"), 2, "not an ISO sensitivity"),
        (("search", "x", "--exposure", "1/60-1/500"), 2, "ends before it begins"),
        (("search", "x", "--max-bytes", "big"), 2, "no size of a file"),
        (("similar", str(EXAMPLES / "animals" / "dog.jpg"), "--added-after", "soon"), 2, "'soon' is not a date"),
        (("search", "x", "--json", "--paths"), 2, "exclude each other"),
        (("search", "--image", "/no/such.jpg"), 2, "cannot read"),
        (("search", "--image", str(ROOT / "README.md")), 2, "not an image"),
        (("search", "--image", "id:999999"), 3, "999999"),
        (("similar", "/no/such.jpg"), 2, "cannot read"),
        (("tune", "--target", "1.5"), 2, "1.5"),
        (("forget", "/no/such/folder"), 3, "is not in the gallery"),
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
    assert run("search", "a dog", "--glob", "*.gif", gallery=indexed_examples)[0] == 1


def test_the_query_language_is_the_flags_in_one_string(run: Run, indexed_examples: Path) -> None:
    photo = EXAMPLES / "flowers" / "rose.jpg"
    by_flags = run("search", "2:flower", "--image", photo, "--without", "water", gallery=indexed_examples)
    assert by_flags[0] == 0
    assert run("search", f"2:flower + img:{photo} - water", gallery=indexed_examples) == by_flags
    assert run("search", "2:flower", "+", f"img:{photo}", "-", "water", gallery=indexed_examples) == by_flags


def test_every_filter_flag_reaches_the_filter(run: Run, indexed_examples: Path) -> None:
    """Each flag and its negation share the pictures out between them."""
    total = 120
    for flag, value in (
        ("glob", "*.jpg"),
        ("orientation", "portrait"),
        ("format", "png"),
        ("under", EXAMPLES / "birds"),
    ):
        counts = []
        for name in (f"--{flag}", f"--no-{flag}"):
            code, out, err = run("search", "a dog", "-n", total, name, value, "--paths", gallery=indexed_examples)
            assert (code, err) == (0, "")
            counts.append(len(out.splitlines()))
        assert sum(counts) == total and all(counts), flag
    small = run("search", "a dog", "-n", total, "--min-width", "300", "--paths", gallery=indexed_examples)[1]
    assert 0 < len(small.splitlines()) < total
    both = ("--glob", "birds/", "--glob", "dog.*", "--untagged", "--added-after", "2020", "-n", total, "--paths")
    found = run("search", "a dog", *both, gallery=indexed_examples)[1].splitlines()
    assert {Path(path).parent.name for path in found} == {"birds", "animals"}
    assert run("search", "a dog", "--added-after", "2990", gallery=indexed_examples)[0] == 1


def test_pictures_of_unknown_date_are_counted_on_stderr(run: Run, indexed_examples: Path) -> None:
    code, out, err = run("search", "a dog", "--after", "1990", gallery=indexed_examples)
    told = "120 pictures are left out because their date is unknown"
    assert (code, out, err.splitlines()) == (1, "", [told, "nothing found"])
    assert "place is unknown" in run("similar", "id:1", "--near", "0,0,1km", gallery=indexed_examples)[2]
    assert run("search", "a dog", "--no-near", "0,0,1km", "--paths", gallery=indexed_examples)[::2] == (0, "")


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


def test_queries_from_a_file_know_the_language_and_the_filters(
    run: Run, indexed_examples: Path, tmp_path: Path
) -> None:
    file = tmp_path / "queries.txt"
    file.write_text('2:a bird - water\nimg:id:1 + "a dog"\n', encoding="utf-8")
    conditions = (
        "--glob",
        "birds/",
        "--glob",
        "animals/",
        "--no-format",
        "png",
        "--after",
        "1990",
        "--no-near",
        "0,0,1km",
    )
    code, out, err = run("search", "--queries-from", file, *conditions[:6], "-n", "4", gallery=indexed_examples)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    for row in rows:
        alone = run("search", row["query"], *conditions[:6], "-n", "4", "--paths", gallery=indexed_examples)[1]
        assert [hit["path"] for hit in row["hits"]] == alone.splitlines()
        assert {hit["format"] for hit in row["hits"]} <= {"JPEG", "WEBP"} and len(row["hits"]) == 4
    code, _, err = run("search", "--queries-from", file, *conditions, gallery=indexed_examples)
    assert code == 1 and err.count("left out because their date is unknown") == 1
    file.write_text("a dog\nimg:https://example.org/a.jpg\n")
    code, out, err = run("search", "--queries-from", file, gallery=indexed_examples)
    assert code == 2 and "line 2: " in err and "--allow-url" in err and len(out.splitlines()) == 2


@pytest.mark.parametrize("more", [("a cat",), ("--paths",), ("-0",), ("--without", "x")])
def test_queries_from_a_file_stand_alone(run: Run, indexed_examples: Path, tmp_path: Path, more: tuple[str]) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("a dog\n")
    code, out, err = run("search", "--queries-from", file, *more, gallery=indexed_examples)
    assert (code, out) == (2, "") and two_lines(err)
    file.write_text("a dog\n \n")
    code, out, err = run("search", "--queries-from", file, gallery=indexed_examples)
    assert code == 2 and "line 2: the query is empty" in err and json.loads(out.splitlines()[1])["error"]


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
    for words in ("120", "builtin-224", "Exact", str(EXAMPLES), "complete"):
        assert words in out
    facts = json.loads(run("info", "--json", gallery=indexed_examples)[1])
    assert facts["images"] == 120
    assert facts["failures"] == 0
    assert facts["bytes_on_disk"]["catalog"] > 0 and facts["bytes_on_disk"]["index"] > 120 * 256 * 4


def test_models_lists_every_row(run: Run) -> None:
    from retrieval.encoders.names.known_models import MODELS

    code, out, _ = run("models")
    assert code == 0
    assert all(name in out for name in MODELS)
    rows = [json.loads(line) for line in run("models", "--json")[1].splitlines()]
    assert [row["name"] for row in rows if row["default"]] == ["builtin-224"]
    assert all(row["licence"] for row in rows)


def test_profile_names_the_bottleneck(run: Run, tmp_path: Path) -> None:
    code, _, err = run("index", EXAMPLES / "birds", "--profile")
    assert code == 0
    assert "bottleneck" in err and "decode" in err and "encode" in err


def test_quiet_is_quiet(run: Run) -> None:
    assert run("index", EXAMPLES / "birds", "--quiet") == (0, "", "")


def test_a_program_may_watch_an_indexing_run(run: Run) -> None:
    code, out, err = run("index", EXAMPLES / "birds", "--json-progress")
    first, *between, last = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert first["event"] == "begin" and first["encoder"] == "builtin-224"
    assert {line["event"] for line in between} == {"progress"}
    assert last["event"] == "report" and last["report"]["added"] == last["report"]["images"] == 14
    code, out, err = run("index", "/no/such/folder", "--json-progress")
    assert code == 2 and out == "" and err.startswith("photoseek: there is no folder")


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
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_table_on_a_terminal_links_paths(indexed_examples: Path) -> None:
    from retrieval.gallery import Gallery
    from retrieval.output import choose_format, write_hits
    from retrieval.search.engine import QueryEngine
    from retrieval.search.query import Query

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
