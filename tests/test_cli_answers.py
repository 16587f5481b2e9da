"""Hits that are shown, opened and copied; the shell; completion; clusters and the map: through the command line."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import EXAMPLES
from tests.test_cli import ROOT, Run, run, two_lines

__all__ = ["run"]

BIRDS = EXAMPLES / "birds"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", str(ROOT / "cli.py"), *map(str, arguments)]


def environment(gallery: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TERM", "KITTY", "LC_TERMINAL", "TMUX", "STY"))}
    return kept | {"PHOTOSEEK_GALLERY": str(gallery), "TERM": "xterm-256color", "COLORTERM": "truecolor"} | more


class TerminalSession:
    """A command in a terminal of its own, as a person sits before it."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        self._pid, self._master = pty.fork()
        if self._pid == 0:  # pragma: no cover - the child
            os.execve(arguments[0], arguments, env)
        self.seen = b""

    def wait_for(self, pattern: bytes, seconds: float = 600) -> bytes:
        """What came up to and with the pattern, since the last time."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen, re.DOTALL)):
            if not select.select([self._master], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError(f"{pattern!r} did not come after {self.seen[-2000:]!r}")
            try:
                some = os.read(self._master, 65536)
            except OSError:
                some = b""
            if not some:
                raise AssertionError(f"{pattern!r} did not come before the end of {self.seen[-2000:]!r}")
            self.seen += some
        found, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return found

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> tuple[int, bytes]:
        """The exit code, and all that was not asked for before."""
        while True:
            try:
                some = os.read(self._master, 65536)
            except OSError:
                break
            if not some:
                break
            self.seen += some
        os.close(self._master)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1]), self.seen


# Thumbnails in the terminal


@pytest.mark.parametrize(
    ("answer", "begins"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[6;16;8t\x1b[?62;c", b"\x1b_Ga=T"),
        (b"\x1bP>|WezTerm 1\x1b\\\x1b[?62;4c", b"\x1b]1337;File="),
        (b"\x1b[6;16;8t\x1b[?62;4;9c", b"\x1bP0;1q"),
        (b"\x1b[?62;9c", b"\x1b[38;2;"),
    ],
)
def test_a_terminal_is_asked_and_drawn_on(indexed_examples: Path, answer: bytes, begins: bytes) -> None:
    terminal = TerminalSession(command("search", "a dog", "-n", "2", "--preview"), environment(indexed_examples))
    terminal.wait_for(rb"\x1b\[c")
    terminal.type(answer)
    code, seen = terminal.end()
    assert code == 0 and begins in seen
    assert b"1  0." in seen and b"dog.jpg" in seen  # the caption, then the table
    assert seen.index(begins) < seen.index(b"dog.jpg")
    assert b"?62" not in seen  # nothing of the answer was left for the screen


def test_nothing_is_drawn_into_pipes_unasked(run: Run, indexed_examples: Path) -> None:
    plain = run("search", "a dog", "-n", "2", gallery=indexed_examples)
    assert run("search", "a dog", "-n", "2", "--preview", gallery=indexed_examples) == plain
    code, out, _ = run("search", "a dog", "-n", "2", "--preview-as", "kitty", gallery=indexed_examples)
    assert code == 0 and out.startswith("\x1b_Ga=T") and out.endswith(plain[1])
    photo = BIRDS / "flamingo.png"
    assert "▀" in run("similar", photo, "-n", "1", "--preview-as", "blocks", gallery=indexed_examples)[1]


def test_no_name_steers_the_terminal(run: Run, tmp_path: Path, gallery: Gallery) -> None:
    from retrieval.encoders.registry import load_encoder

    odd = "a\x1b]0;owned\x07\x9b31m\n\u202e.jpg"
    (tmp_path / "p").mkdir()
    shutil.copyfile(EXAMPLES / "animals" / "dog.jpg", tmp_path / "p" / odd)
    Indexer(gallery, load_encoder("builtin-224")).run(tmp_path / "p")
    page = tmp_path / "page.html"
    code, out, err = run(
        "search", "a dog", "--preview-as", "blocks", "--html", page, "--copy-to", tmp_path / "c", gallery=gallery.path
    )
    assert code == 0 and (tmp_path / "c" / odd).is_file()
    rest = re.sub(r"\x1b\[[\d;]*m", "", out + err)  # colours
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", rest.replace("\t", " "))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", page.read_text(encoding="utf-8"))
    # and when it is gone, in the message that says so
    (tmp_path / "p" / odd).unlink()
    _, out, err = run("search", "a dog", "--open", "--copy-to", tmp_path / "d", gallery=gallery.path)
    assert err.splitlines() == ["nothing found"]
    assert out == "" and not (tmp_path / "d").exists()


# Pages, folders, programs


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_contact_sheet(run: Run, indexed_examples: Path, tmp_path: Path) -> None:
    query = "2:<script>alert(1)</script> + a dog - water"
    filters = ("--glob", "animals/", "--format", "jpg")
    found = run("search", query, *filters, "-n", "3", "--json", gallery=indexed_examples)[1]
    hits = [json.loads(line) for line in found.splitlines()]
    page = tmp_path / "out.html"
    code, out, err = run("search", query, *filters, "-n", "3", "--html", page, gallery=indexed_examples)
    assert code == 0 and len(out.splitlines()) == 3 and "3 pictures in" in err
    text = page.read_text(encoding="utf-8")
    seen = Tags(text)
    assert "script" not in {tag for tag, _ in seen.tags}
    assert query in seen.text and "--glob animals/" in seen.text and "--format JPEG" in seen.text
    assert "builtin-224" in seen.text
    links = [attrs["href"] for tag, attrs in seen.tags if tag == "a"]
    assert links == [Path(hit["path"]).as_uri() for hit in hits]
    for hit in hits:
        assert hit["path"] in seen.text and f"{hit['rank']} · {hit['score']:.3f}" in seen.text
    sources = [attrs["src"] or "" for tag, attrs in seen.tags if tag == "img"]
    assert len(sources) == 3 and all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not re.search(r"(src|href)=[\"']?(https?:|//)", text)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []


def test_copies_and_links(run: Run, indexed_examples: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "search", "a dog", "-n", "3", "--copy-to", tmp_path / "c", "--numbered", gallery=indexed_examples
    )
    assert code == 0 and "3 pictures copied to" in err
    assert min(file.name for file in (tmp_path / "c").iterdir()) == "001-dog.jpg"
    err = run("search", "a dog", "-n", "4", "--copy-to", tmp_path / "c", "--numbered", gallery=indexed_examples)[2]
    assert "1 picture copied" in err and "3 were there" in err
    code, _, err = run(
        "similar", BIRDS / "flamingo.png", "-n", "2", "--link-to", tmp_path / "l", gallery=indexed_examples
    )
    assert code == 0 and "2 pictures linked to" in err
    assert all(file.is_symlink() and file.resolve().is_file() for file in (tmp_path / "l").iterdir())
    (tmp_path / "l").chmod(0o500)
    if not os.access(tmp_path / "l", os.W_OK):  # not as root
        code, _, err = run("search", "a dog", "-n", "1", "--copy-to", tmp_path / "l", gallery=indexed_examples)
        assert code == 3 and "not copied: Permission denied" in err


def test_the_first_hit_is_opened(indexed_examples: Path, tmp_path: Path) -> None:
    opener = tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\ncd "{tmp_path}"\nprintf "%s\\n" "$#" "$1" > opened.part\nmv opened.part opened\n')
    opener.chmod(0o755)
    env = environment(indexed_examples, PATH=f"{opener.parent}:{os.environ['PATH']}")
    done = subprocess.run(command("search", "a dog", "--open"), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    end = time.monotonic() + 600
    while not (tmp_path / "opened").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert (tmp_path / "opened").read_text() == f"1\n{EXAMPLES / 'animals' / 'dog.jpg'}\n"
    env["PATH"] = str(tmp_path / "empty")
    done = subprocess.run(command("search", "a dog", "--open"), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "no program was found to open" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("search", "x", "--preview-as", "vt52"), "no drawing method"),
        (("search", "x", "--preview", "--json"), "thumbnails"),
        (("similar", "id:1", "--preview-as", "kitty", "-0"), "thumbnails"),
        (("search", "x", "--html", "page.jpg"), "not a valid name for a page"),
        (("search", "x", "--html", "/nowhere/page.html"), "cannot write"),
        (("search", "x", "--copy-to", "a", "--link-to", "b"), "exclude each other"),
        (("search", "x", "--numbered"), "--numbered"),
        (("search", "--queries-from", "q.txt", "--html", "page.html"), "--queries-from"),
        (("shell", "--preview-as", "vt52"), "no drawing method"),
        (("completion", "tcsh"), "no completion"),
        (("clusters", "--k", "0"), "cannot make 0"),
        (("clusters", "--k", "121"), "cannot make 121"),
        (("clusters", "--min-size", "0"), "cannot have 0"),
        (("clusters", "--html", "page"), "not a valid name for a page"),
        (("clusters", "--labels", ","), "no label"),
        (("clusters", "--format", "tiff"), "no picture in this gallery has the format"),
        (("map", "--points", "0"), "cannot lay out 0"),
        (("map", "--method", "tsne"), "no layout method"),
        (("map", "--html", "page.png"), "not a valid name for a page"),
        (("map", "--model", "dinov2-b14"), "no embeddings by"),
    ],
)
def test_wrong_use_is_told_in_two_lines(
    run: Run, indexed_examples: Path, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = run(*arguments, gallery=indexed_examples)
    assert code == 2 and two_lines(err) and words in err


# Completion


def complete(words: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    env = os.environ | {
        "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1), "_PHOTOSEEK_COMPLETE": "complete_bash",
    }  # fmt: skip
    done = subprocess.run(command(), env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_commands_and_flags_are_completed() -> None:
    from retrieval.commands import COMMANDS

    assert complete("photoseek ") == list(COMMANDS)
    assert complete("photoseek cl") == ["classify", "clusters"]
    assert {"--copy-to", "--camera"} <= set(complete("photoseek search --c"))
    assert "drop" in complete("photoseek models d")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(run: Run, shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0 and f"_PHOTOSEEK_COMPLETE=complete_{shell}" in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_itself_completes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photoseek").write_text('#!/bin/sh\nexec "' + '" "'.join(command()) + '" "$@"\n')
    (tmp_path / "photoseek").chmod(0o755)
    (tmp_path / "script").write_text(run("completion", "bash")[1])
    asked = "source script; COMP_WORDS=(photoseek dup); COMP_CWORD=1; _photoseek_completion photoseek; "
    asked += 'echo "${COMPREPLY[*]}"'
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", asked], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("duplicates\n", "")


# The shell


def piped(gallery: Path, lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("shell", *arguments), env=environment(gallery), input=lines, capture_output=True, text=True, check=False
    )


def paths(text: str) -> list[str]:
    return [line.split("\t")[2] for line in text.splitlines() if re.match(r"\d+\t-?\d\.\d{4}\t", line)]


def test_a_shell_behind_a_pipe(run: Run, indexed_examples: Path) -> None:
    done = piped(indexed_examples, "a dog\nmore\nquit\nnever read\n", "-n", "3")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.split("\n\n")  # a blank line stands between two answers
    assert f"{first}\n{second}" == run("search", "a dog", "-n", "6", gallery=indexed_examples)[1]
    done = piped(indexed_examples, "2:a bird - water --glob 'birds/' -n 4\nsimilar 2\nshow 1")
    first = run("search", "2:a bird - water", "--glob", "birds/", "-n", "4", "--paths", gallery=indexed_examples)[1]
    assert paths(done.stdout)[:4] == first.splitlines()
    second = run("similar", first.splitlines()[1], "--paths", gallery=indexed_examples)[1].splitlines()
    assert paths(done.stdout)[4:] == second
    assert f"{second[0]} (id:" in done.stdout and "  format " in done.stdout


def test_a_shell_learns_what_is_meant(indexed_examples: Path) -> None:
    done = piped(indexed_examples, "an animal -n 8\nlike 4\nnot 1\n")
    found = paths(done.stdout)
    first, liked, rest = found[:8], found[8:16], found[16:]
    assert liked[0] == first[3] and liked != first
    assert liked[0] not in rest and len(rest) == 8


def test_a_shell_goes_on_after_an_error(indexed_examples: Path) -> None:
    lines = "more\nlike 1\n0:x\na dog --camera zzz\na dog --nonsense\na dog --after 1990\na dog -n 1\nopen 7\nfilter\n"
    done = piped(indexed_examples, lines)
    assert done.returncode == 2 and len(paths(done.stdout)) == 1 and "no filter" in done.stdout
    told = done.stderr.splitlines()
    assert "there is no search yet" in told and "no picture in this gallery has a camera" in told
    assert "unrecognized arguments: --nonsense" in told and "nothing found" in told
    assert "there is no hit number 7" in told and "Traceback" not in done.stderr
    assert any("date is unknown" in line for line in told)


def test_a_shell_at_a_terminal(indexed_examples: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    shutil.copytree(indexed_examples, gallery)
    terminal = TerminalSession(command("shell", "-n", "2"), environment(gallery))
    terminal.wait_for(rb"photoseek> ")
    terminal.type(b"a dog\n")
    assert b"dog.jpg" in terminal.wait_for(rb"photoseek> $")
    terminal.type(b"half a wo")
    terminal.wait_for(rb"half a wo")
    for patience in (*range(1, 60), 60):  # readline looks for signals only while it waits for a key
        terminal.type(b"\x03")  # gives up the line
        try:
            terminal.wait_for(rb"photoseek> $", 1 if patience < 60 else 60)
            break
        except AssertionError:
            assert patience < 60
    terminal.type(b"\x1b[A\n")  # the line before
    assert b"dog.jpg" in terminal.wait_for(rb"photoseek> $")
    terminal.type(b"\x04")
    assert terminal.end()[0] == 0
    history = gallery / "shell-history"
    assert history.read_text().splitlines()[0] == "a dog" and history.stat().st_mode & 0o777 == 0o600
    terminal = TerminalSession(command("shell"), environment(gallery, PHOTOSEEK_NO_CACHE="1"))
    terminal.wait_for(rb"photoseek> ")
    terminal.type(b"a secret\n")
    terminal.wait_for(rb"photoseek> $")
    terminal.type(b"quit\n")
    assert terminal.end()[0] == 0 and "secret" not in history.read_text()


# Clusters and the map


def test_clusters(run: Run, indexed_examples: Path, tmp_path: Path) -> None:
    code, out, err = run("clusters", gallery=indexed_examples)
    assert (code, err) == (0, "") and [line.split("\t")[0] for line in out.splitlines()] == [
        str(n) for n in range(1, 9)
    ]
    page = tmp_path / "c.html"
    arguments = ("--k", "5", "--labels", "bird,flower,car,animal,food,tool", "--html", page, "--json")
    code, out, err = run("clusters", *arguments, gallery=indexed_examples)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and sorted(id_ for row in rows for id_ in row["ids"]) == list(range(1, 121))
    assert len({row["labels"][0] for row in rows}) == 5
    seen = Tags(page.read_text(encoding="utf-8"))
    assert all(image["path"] in seen.text for row in rows for image in row["representatives"])
    assert "script" not in {tag for tag, _ in seen.tags}
    assert run("clusters", *arguments, gallery=indexed_examples)[1] == out
    only = [
        json.loads(line)
        for line in run("clusters", "--under", BIRDS, "--labels", "a,b", "--json", gallery=indexed_examples)[
            1
        ].splitlines()
    ]
    assert sum(row["size"] for row in only) == len(list(BIRDS.iterdir()))


def test_a_map(run: Run, indexed_examples: Path, tmp_path: Path) -> None:
    code, out, err = run("map", "--json", "--method", "pca", gallery=indexed_examples)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "") and [row["id"] for row in rows] == list(range(1, 121))
    assert all(-1 <= row[axis] <= 1 for row in rows for axis in "xy")
    page = tmp_path / "m.html"
    code, out, err = run("map", "--html", page, "--points", "30", "--method", "pca", gallery=indexed_examples)
    assert (code, out) == (0, "") and "30 of 120 pictures by pca" in err
    text = page.read_text(encoding="utf-8")
    held = json.loads(re.search(r'id="places">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert len(held) == 30 and all(row[3].startswith("data:image/webp;base64,") for row in held)
    assert text.count("<script") == 2
    assert run("map", "--points", "30", "--method", "pca", gallery=indexed_examples)[1].count("\n") == 30
