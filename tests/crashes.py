"""Commands interrupted at seeded times: their initial state, and what must be true afterwards."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGXFSZ
from types import SimpleNamespace
from typing import Any

import numpy as np

from retrieval.gallery import Gallery
from tests.command_child import state_of
from tests.retrieval.states import check_agreement, rows

Point = tuple[str, int]
"""A kind of moment, and which one of its kind: ``call``, ``step``, or the ``size`` of a file in bytes."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; None if it was killed.
        states: of the catalog, in the order in which they were committed.
        pending: the state that a commit without an answer was about to make.
        meanwhile: exit code and output of each command that ran while it was stopped; None if it was not.
    """

    code: int | None
    printed: str
    states: tuple[str, ...]
    pending: str | None
    counts: dict[str, int]
    meanwhile: list[tuple[int, str]] | None = None

    def check_manners(self) -> None:
        """Whatever went wrong is told in two lines."""
        assert "Traceback" not in self.printed and "a fault in the program" not in self.printed, self.printed


class Commands:
    """Talks to ``tests.command_child``.

    Args:
        preload: the library of ``disk_logs.build``.
        environment: further variables.
    """

    def __init__(self, models: Path, preload: Path | None = None, **environment: str) -> None:
        loaded = environment if preload is None else {"LD_PRELOAD": str(preload)} | environment
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.command_child"],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PHOTOSEEK_MODELS": str(models), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | loaded,
        )  # fmt: skip

    def run(
        self,
        gallery: Path,
        *arguments: str,
        point: Point | None = None,
        fresh: bool = False,
        faults: Mapping[str, Any] | None = None,
        signal: int | None = None,
        meanwhile: Mapping[str, Any] | None = None,
    ) -> Ended:
        """One command.

        Args:
            fresh: in a Python of its own, with nothing imported before.
            faults: what ``disk_calls.c`` does: ``at`` (which call fails; 0: none), ``errno``, ``lasting``, ``log``; in
                ``folder``, which is the gallery's if it is not given.
            signal: sent at ``point`` instead of SIGKILL.
            meanwhile: a job with several commands, for a signal that stops the command; it is continued afterwards.
        """
        faults = None if faults is None else {"folder": str(gallery)} | dict(faults)
        more = {} if signal is None else {"signal": signal}
        more |= {} if meanwhile is None else {"meanwhile": meanwhile}
        answer = self._answer(gallery, arguments, point=point, fresh=fresh, faults=faults, **more)
        status, states, pending, counts = answer["status"], [], None, {}
        for what, value in answer["said"]:
            if what == "committing":
                pending = value
            elif what == "committed":
                states.append(value)
                pending = None
            else:
                counts = value
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) in (SIGKILL, SIGXFSZ), answer["out"]
        code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        others = answer.get("meanwhile")
        ran = None if others is None else [(os.waitstatus_to_exitcode(each["status"]), each["out"]) for each in others]
        return Ended(code, answer["out"], tuple(states), pending, counts, ran)

    def plain(
        self, gallery: Path, *arguments: str, limits: Mapping[str, int] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """One command, as ``subprocess.run`` would have it, without a start of Python.

        Args:
            limits: for it, by the names that ``resource`` has for them.
        """
        answer = self._answer(gallery, arguments, plain=True, environment=environment, limits=dict(limits or {}))
        code = os.waitstatus_to_exitcode(answer["status"])
        return subprocess.CompletedProcess(arguments, code, answer["out"], answer["err"])

    def _answer(self, gallery: Path, arguments: Sequence[str], **asked: Any) -> dict[str, Any]:
        job = {"point": None, "fresh": False, "plain": False, "environment": {}, "faults": None, "limits": {}} | asked
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(json.dumps(job | {"gallery": str(gallery), "arguments": arguments}) + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer

    def close(self) -> None:
        self._child.communicate()


def state(gallery: Path) -> str:
    """Of the catalog, looked at in a copy: opening it would mend what the next command has to meet."""
    copy = gallery.with_name("looked-at")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in gallery.glob("catalog.sqlite*"):
        shutil.copy(file, copy)
    with closing(sqlite3.connect(copy / "catalog.sqlite")) as connection:
        found = state_of(connection)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return found


_FACES = "FROM faces AS c LEFT JOIN persons AS p ON p.id = c.person_id"
_SAID_OF_FACES = "FROM face_verdicts AS v JOIN faces AS c ON c.id = v.face_id JOIN persons AS p ON p.id = v.person_id"


def meaning(gallery: Path, *, hashes: bool = True) -> dict[str, Any]:
    """What a gallery says, however its runs were cut up: no ids, no change numbers, no times.

    Args:
        hashes: of the pictures' contents, too; a picture into which a date was written has another one each time.
    """
    opened = Gallery(gallery)
    at = "FROM images AS i JOIN folders AS f ON f.id = i.folder_id"
    active = "(SELECT active_encoder_id FROM state)"
    content = "i.content_hash" if hashes else "NULL"
    shown = f"""SELECT f.path, i.name, {content}, e.vector {at} LEFT JOIN embeddings AS e
                ON e.image_id = i.id AND e.encoder_id = {active} WHERE NOT i.is_retired"""
    said = f"SELECT f.path, i.name, x.{{}}, x.source {at} JOIN {{}} AS x ON x.image_id = i.id"
    albums = f"""SELECT a.name, a.recipe, a.deleted_at IS NULL, f.path, i.name {at}
                 JOIN memberships AS m ON m.image_id = i.id JOIN album_entries AS e ON e.id = m.entry_id
                 JOIN albums AS a ON a.id = e.album_id ORDER BY a.name, e.position"""
    return {
        "albums": rows(opened, albums),
        "names of albums": sorted(rows(opened, "SELECT name, recipe, deleted_at IS NULL FROM albums")),
        "stars": sorted(rows(opened, said.format("rating", "ratings"))),
        "favourites": sorted(rows(opened, said.format("favourite", "favourites"))),
        "hidden": sorted(rows(opened, said.format("hidden", "hidden"))),
        "pictures": sorted(rows(opened, shown)),
        "tags": sorted(rows(opened, said.format("tag", "tags"))),
        "captions": sorted(rows(opened, said.format("text", "captions"))),
        "kept": sorted(rows(opened, "SELECT content_hash, kind, text, source FROM kept_labels")),
        "faces": sorted(rows(opened, f"SELECT c.id, c.x, p.name, p.is_hidden {_FACES}"), key=repr),
        "of faces": sorted(rows(opened, f"SELECT c.id, c.x, p.name, v.is_person {_SAID_OF_FACES}"), key=repr),
        "persons": sorted(rows(opened, "SELECT name, is_hidden FROM persons"), key=repr),
        "failures": sorted(rows(opened, "SELECT name, reason FROM failures")),
        "left out": rows(opened, "SELECT path, pattern, fingerprint FROM exclusions ORDER BY id"),
        "predicted": sorted(rows(opened, f"SELECT i.name, x.tag {at} JOIN predicted_tags AS x ON x.image_id = i.id")),
        "encoders": sorted(rows(opened, "SELECT fingerprint FROM encoders")),
        "searched with": rows(opened, f"SELECT fingerprint FROM encoders WHERE id = {active}"),
    }


@dataclass
class Scene:
    """A command, and the gallery that it is killed over.

    Attributes:
        before: the gallery; None: there is none yet.
        arguments: of the command.
        is_repeatable: False if the command is an error where it was done before.
        is_renewed: True if the next index encodes everything anew, because the model was an earlier one.
        gone: pieces of text that no file of the gallery may hold when the command has ended.
        first: state of the catalog before the command.
        commits: how many transactions the whole command has.
        final: what the gallery says after it.
        indexed: what it says when it was indexed then.
        counts: of moments in it.
        last: state of the catalog after it.
        written: what else it wrote, see ``outside``.
    """

    before: Path | None
    arguments: Sequence[str]
    is_repeatable: bool = True
    gone: Sequence[bytes] = ()
    is_renewed: bool = False
    first: str = ""
    commits: int = 0
    final: dict[str, Any] = field(default_factory=dict)
    indexed: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    last: str = ""
    written: Any = None

    is_dated = False
    """True if the command writes the date into pictures."""

    is_exchanged = False
    """True if the command puts another catalog in the place of the gallery's."""

    def root(self, gallery: Path) -> Path:
        """The folder in which the command may write."""
        return gallery

    def outside(self) -> Any:
        """What else the command writes, in a form that two runs have in common."""

    def meant(self, gallery: Path) -> dict[str, Any]:
        """What the gallery says, as two runs have it in common."""
        return meaning(gallery, hashes=not self.is_dated)

    def finish(self, commands: Commands, gallery: Path) -> None:
        """What else must be possible afterwards."""

    def prepare(self, commands: Commands, place: Path) -> None:
        """Let the command run to its end, to know what it leaves."""
        gallery = self.copied(place)
        self.first = state(gallery)
        ended = commands.run(gallery, *self.arguments)
        assert ended.code == 0, ended.printed
        self.commits, self.final, self.counts = len(ended.states), self.meant(gallery), ended.counts
        self.last, self.written = state(gallery), self.outside()
        assert self.last == (self.first, *ended.states)[-1] or self.is_exchanged
        check_index(gallery)
        assert commands.run(gallery, "index").code == 0
        self.indexed = self.meant(gallery)
        assert self.is_renewed or self.indexed == self.final
        shutil.rmtree(gallery)

    def copied(self, place: Path) -> Path:
        shutil.rmtree(place, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, place)
        else:
            place.mkdir()
        return place

    def points(self, rng: np.random.Generator, number: int) -> Iterator[Point]:
        """So many moments: behind the last commit, and drawn so that each part of the command has its share of them."""
        yield "call", self.counts["committed"] + 1
        log, file = self.counts["log"], max(self.counts["log"], self.counts["file"])
        calls, steps = self.counts["call"], max(self.counts["step"], 1)
        spans = {"call": (0, calls), "step": (0, steps), "log": (0, log), "file": (log, file)}
        kinds = [("call", "step", "log", "call", "file")[at % 5] for at in range(number - 1)]
        for kind, (low, high) in spans.items():
            parts = kinds.count(kind)
            for part in range(parts):
                at = low + 1 + int((part + rng.random()) / parts * (high - low))
                yield ("size" if kind in ("log", "file") else kind), at


def check_index(gallery: Path) -> None:
    """Index and catalog agree for the model that searches use."""
    opened = Gallery(gallery)
    with opened.reader() as reader:
        active = reader.active_encoder()
    if active is not None:
        check_agreement(opened, SimpleNamespace(spec=active))  # type: ignore[arg-type]


def killed(commands: Commands, scene: Scene, place: Path, point: Point, *, fresh: bool = False) -> bool:
    """Kill the command at a point, look at what it left, and go on; False if it ended before that."""
    gallery = scene.copied(place)
    ended = commands.run(gallery, *scene.arguments, point=point, fresh=fresh)
    assert ended.code in (None, 0), ended.printed
    survived(commands, scene, gallery, ended)
    return ended.code is None


def survived(commands: Commands, scene: Scene, gallery: Path, ended: Ended, *, is_cut: bool = False) -> None:
    """Look at what a command left that was killed or refused something, and go on.

    Args:
        is_cut: ``ended`` is the whole command, and the power was cut at some moment of it.
    """
    ended.check_manners()
    found, committed = state(gallery), (scene.first, *ended.states)
    if scene.is_exchanged:
        assert found in (scene.first, scene.last), "neither the catalog that was there nor the one that comes"
        commits = scene.commits if found == scene.last else 0
    elif is_cut:
        assert found in committed, "a state that no transaction left"
        commits = committed.index(found)
    else:
        assert found in {committed[-1], ended.pending}, "what was committed, and nothing else"
        commits = len(ended.states) + (found == ended.pending)

    told = commands.run(gallery, "info", "--json")
    told.check_manners()
    if told.code == 0:
        check_index(gallery)
    else:  # nothing is in it yet, or it has the older form yet
        assert told.code == 3 and len(told.printed.splitlines()) == 2, told.printed
        assert found == scene.first or scene.before is None

    again = commands.run(gallery, *scene.arguments)
    again.check_manners()
    if commits < scene.commits or scene.is_repeatable:
        assert again.code == 0, again.printed
    else:
        assert again.code in (2, 3), again.printed
    assert scene.meant(gallery) == scene.final
    assert scene.outside() == scene.written, "files outside of the gallery"
    check_index(gallery)
    for file in gallery.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [text for text in scene.gone if text in content], file
    plain = commands.run(gallery, "index")
    assert plain.code == 0 and scene.meant(gallery) == scene.indexed, plain.printed
    scene.finish(commands, gallery)
    shutil.rmtree(gallery)
