"""Names of files, folders, classes and models: output never contains control characters or markup from them."""

from __future__ import annotations

import ast
import io
import logging
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.adapter import write_adapter
from retrieval.encoders.registry import load_encoder
from retrieval.lab.evaluation.tables import Report, Table, write_report
from retrieval.logs import plain_handler
from retrieval.output import write_pairs
from tests.conftest import EXAMPLES
from tests.pictures import save_picture
from tests.test_cli import ROOT, Run, run
from tests.test_cli_answers import TerminalSession, command, environment

__all__ = ["run"]

ESCAPE = "\x1b[35m"  # a colour that nothing of ours writes
TURN = "\u202e"  # the rest of the line is written from right to left
MARKUP = "[red][bold]"
EVIL = f"evil{ESCAPE}{TURN}{MARKUP}"
SHOWN = f"evil\\x1b[35m\\u202e{MARKUP}"

NAMES = {"path", "name", "message", "reason", "hint", "title", "label", "text", "notes", "source", "head"}
"""Attributes that may hold what somebody else wrote."""
MADE_PLAIN = {"printable", "printable_lines", "dumps", "quote", "cell_text"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Class folders, one of them with an evil name and pictures of evil names in it; captions; an evil adapter."""
    classes = tmp_path / f"photos {EVIL}"
    for number, kind in enumerate(("dog", f"cat {EVIL}")):
        for colour in ("red", "green", "blue"):
            save_picture(classes / kind / f"{colour} {EVIL}.png", colour, seed=number)
    (classes / f"cut {EVIL}.jpg").write_bytes((EXAMPLES / "animals" / "dog.jpg").read_bytes()[:300])
    shutil.copy(classes / "dog" / f"red {EVIL}.png", classes / f"again {EVIL}.png")
    pictures = sorted(path.relative_to(classes) for path in classes.rglob("*.png"))
    rows = [f"{path}\ta {path.parent} in {path.name}" for path in pictures]
    (classes / "captions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    base = load_encoder("builtin-224").spec
    folder = tmp_path / "models" / f"adapter {EVIL}"
    write_adapter(folder, base, np.eye(base.dim, dtype=np.float32), np.zeros(base.dim, np.float32), EVIL)
    return classes


def is_plain(text: str) -> bool:
    return ESCAPE not in text and TURN not in text


def test_commands(run: Run, place: Path, tmp_path: Path) -> None:
    gallery = tmp_path / f"gallery {EVIL}"
    dog = place / "dog" / f"red {EVIL}.png"
    asked: list[tuple[str | Path, ...]] = [
        ("index", place, place / f"none {EVIL}", "--profile"),
        ("index", place, "--dry-run"),
        ("info",),
        ("info", "--failures"),
        ("search", "a dog", "-n", "3"),
        ("search", f"img:{place}/nothing"),
        ("search", "a dog", "--camera", EVIL),
        ("similar", dog),
        ("similar", place / f"cut {EVIL}.jpg"),
        ("label", "--tag", "tag [/] [red]", "--caption", f"{EVIL} [/]", dog),
        ("label", dog, place / f"none {EVIL}"),
        ("classify", dog, place / f"none {EVIL}", "--labels", f"{EVIL},car"),
        ("tag", "--labels", f"{EVIL},car"),
        ("clusters", "--labels", f"{EVIL},car"),
        ("map",),
        ("duplicates",),
        ("duplicates", "--trash"),
        ("models",),
        ("models", "import", place),
        ("explain", tmp_path / "models" / f"adapter {EVIL}"),
        ("explain", EVIL),
        ("eval", "retrieval", place / "captions.tsv"),
        ("eval", "retrieval", place / f"none {EVIL}.tsv"),
        ("eval", "zeroshot", place),
        ("eval", "probe", place),
        ("eval", "compare", "builtin-224", EVIL, f"none {EVIL}", "--data", place / "captions.tsv"),
        ("train", place, "--adapter", "--out", tmp_path / f"out {EVIL}"),
        ("index", "--model", EVIL),
        ("forget", place / "dog", place / f"none {EVIL}"),
        ("models", "drop", EVIL),
    ]
    shown = 0
    for arguments in asked:
        code, out, err = run(*arguments, gallery=gallery)
        assert code in (0, 1, 2, 3) and is_plain(out) and is_plain(err), (arguments, out, err)
        assert "a fault in the program" not in err, arguments
        shown += SHOWN in out + err
    assert shown > 20  # the names were there, in a form that harms nobody


def test_on_a_terminal(run: Run, place: Path, tmp_path: Path) -> None:
    gallery = tmp_path / f"gallery {EVIL}"
    found = []
    for arguments in (["index", place], ["search", "a dog"], ["info"]):
        terminal = TerminalSession(
            command(*arguments), environment(gallery, PHOTOSEEK_MODELS=str(tmp_path / "models"), COLUMNS="300")
        )
        seen = terminal.end()[1].decode()
        assert is_plain(seen), arguments
        found.append(MARKUP in seen)
    assert found == [True] * 3


def test_the_shell(run: Run, place: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    assert run("index", place)[0] == 0
    lines = f"a dog\nshow 1\n/under {place}\n/\nlike 1\n{EVIL}\nopen 99 {EVIL}\n"
    done = subprocess.run(
        command("shell"),
        input=lines,
        capture_output=True,
        text=True,
        env=environment(gallery),
        timeout=600,
        check=False,
    )
    assert SHOWN in done.stdout and is_plain(done.stdout) and is_plain(done.stderr)


def test_what_is_logged() -> None:
    told = io.StringIO()
    logger = logging.Logger("alone")
    logger.addHandler(plain_handler(told))
    logger.warning("model folder %s is ignored", EVIL)
    try:
        raise ValueError(EVIL)
    except ValueError:
        logger.exception("a\nb")
    lines = told.getvalue().splitlines()
    assert lines[:3] == [f"model folder {SHOWN} is ignored", "a", "b"] and lines[-1] == f"ValueError: {SHOWN}"


def test_every_program_logs_through_one_handler() -> None:
    """A second one would write names as they are."""
    for path in [ROOT / "cli.py", *(ROOT / "retrieval").rglob("*.py")]:
        called = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call)
        }
        made = {name for name in called if name.endswith(("basicConfig", "StreamHandler"))}
        assert not made or path.name == "logs.py", path


def test_tables_pairs_and_explanations() -> None:
    out = io.StringIO()
    report = Report({EVIL: EVIL}, (Table(EVIL, (EVIL, "b"), ((EVIL, 1.0),)),), (EVIL,))
    write_report(report, "table", out)
    write_pairs([(EVIL, EVIL)], out)
    assert is_plain(out.getvalue()) and out.getvalue().count(SHOWN) == 8


def _loose(node: ast.AST) -> list[str]:
    """Attributes in an expression that are written as they are."""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in MADE_PLAIN or any(getattr(part, "id", "") in MADE_PLAIN for part in node.args):
            return []
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        return [ast.unparse(node)]
    return [found for child in ast.iter_child_nodes(node) for found in _loose(child)]


def _is_text_out(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return name in ("print", "typer.echo") or name in {
        f"{stream}.write" for stream in ("out", "err", "self._out", "sys.stdout", "sys.stderr")
    }


def test_names_are_made_plain_where_they_are_written() -> None:
    found = []
    for path in sorted((ROOT / "retrieval").rglob("*.py")):
        if path.name == "page.py":
            continue  # files of HTML, which escape by their own rules
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and _is_text_out(node):
                found += [f"{path.name}, line {node.lineno}: {each}" for part in node.args for each in _loose(part)]
    assert found == []
