"""Layout of the code: short files have a reason, no file is too long, and the map names every file."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = {
    str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
    for folder in ("retrieval", "indexes")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
FEWEST, MOST = 50, 420

SHORT = {
    "retrieval/commands/": "a command is imported alone, so that the others cost it nothing",
    "retrieval/catalog/migrations/": "Alembic runs one file for each step",
    "retrieval/lab/experiments/": "one experiment a file, run by its name",
    "indexes/server_secrets.py": "below both servers: nothing else reads a secret",
    "retrieval/catalog/access.py": "what every module of statements needs, below all of them",
    "retrieval/indexing/found_folders.py": "below both walks: of folders, and of what is none",
    "retrieval/places/naming.py": "imported by every server, also by those without the packages of places",
    "retrieval/config/listing.py": "for the docs alone: nothing else imports it",
    "retrieval/config/lines.py": "below messages and changes; needs tomllib, which reading does not",
    "retrieval/catalog/column_types.py": "below the schema and its parts",
    "retrieval/catalog/lease_tables.py": "a part of the schema, which has no room for it",
    "retrieval/catalog/word_tables.py": "a part of the schema, which has no room for it",
    "retrieval/catalog/known_words.py": "all that a search without a match imports of the index of words",
    "retrieval/duplicates/turns.py": "the eight orientations as a group: pixels, candidates and comparison use it",
    "retrieval/filters/albums.py": "a value of filters, below what makes it and what reads it",
    "retrieval/labels/named_pictures.py": "what another command names, for every command that takes pictures",
    "retrieval/folding.py": "below everything: names are folded in one way",
    "retrieval/lab/training/half.py": "one rule for the number format, for every trainer",
    "retrieval/lab/training/output_folder.py": "below both trainers, and checked before torch is imported",
    "retrieval/logs.py": "beside streams.py, which the fastest way in reads: logging is not imported there",
    "retrieval/search/english.py": "a hint that four doors give",
    "retrieval/web/front/rate.py": "one check before requests, as each of those beside it",
    "retrieval/web/client/client.py": "the methods by subject, put together",
    "retrieval/server/program_files.py": "what the socket door asks, of the disk alone",
    "retrieval/server/resident.py": "one of two processes around the engine; the other one is web/server.py",
    "retrieval/threads.py": "a fault of Python's own threads; the rest of Python is used as it is",
    "retrieval/search/smoothing.py": "a formula with its source, below calibration and judging",
}
"""Files, or folders of files, of fewer lines than others, with the reason."""


def test_a_short_file_has_a_reason() -> None:
    short = {name for name, lines in FILES.items() if lines < FEWEST and not name.endswith("__init__.py")}
    assert not {name for name in short if not name.startswith(tuple(SHORT))}
    assert not {listed for listed in SHORT if not any(name.startswith(listed) for name in short)}


def test_no_file_does_everything() -> None:
    assert not {name: lines for name, lines in FILES.items() if lines > MOST}


def test_the_map_names_every_file() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", text))
    present = {Path(name).name for name in FILES} | {"cli.py", "__init__.py"}
    assert {name for name in named if not name.startswith("test_")} <= present, "files that are no more"
    own = {"commands", "shell", "migrations", "builtin"}  # named as folders; indexes has its map in its __init__
    rest = {
        Path(name).name for name in FILES if name.startswith("retrieval/") and not own & set(Path(name).parts)
    } - named
    assert rest <= {"__init__.py", "__main__.py"}, "files that it leaves out"
