"""Singular and plural: messages with counts use ``plural``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.lab.training.pairs import read_pairs
from tests.pictures import save_picture

ROOT = Path(__file__).parent.parent
COUNTED = re.compile(
    r"\{[^{}]+\} "
    r"(?:pictures|files|folders|models|searches|blocks|registers|heads|captions|classes|seeds|steps|threads)\b"
)
NEVER_ONE = {
    "{_MOST_BLOCKS:,} blocks",
    "{len(ids):,} pictures are too many",
    "cannot lay out {points} pictures",  # refused: 0, or too many
    "a group cannot have {min_size} pictures",  # refused: 0 or less
    "the first {len(found)} pictures",  # more than the neighbours that are compared
    "{len(pixels)} pictures, {len(rows)} captions",  # they differ; of one's own files
    "{len(group.others) + 1} pictures",
    "{progress.done:,}{of} files",  # after ten seconds
    "which {key} pictures are",
    "{self.steps} steps teach nothing",  # refused: 0 or less
    "with {threads} threads",
    "{len(group.others) + 1:,} pictures",  # a group has a keeper and others
    "{seen:,} pictures seen",
    "{spec.minimum_training:,} pictures to train",
    "{missing + changed:,} pictures are skipped",  # some of either kind
    "{effort_text(report.chosen.effort)} from",
    "{_MOST_NAMES} files of this name",
    "{n} photo|{n} pictures",
    'else f"{self.last_blocks} blocks"',
}


def test_what_is_counted_is_named_by_its_number() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "retrieval").rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if COUNTED.search(line) and not any(known in line for known in NEVER_ONE)
    ]
    assert found == []


@pytest.mark.parametrize(("count", "words"), [(1, "1 picture with"), (3, "3 pictures with")])
def test_what_training_says(count: int, words: str, tmp_path: Path) -> None:
    for number in range(count):
        save_picture(tmp_path / f"{number}.png", "red", seed=number)
    rows = [f"{number}.png\tred" for number in range(count)]
    (tmp_path / "captions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(QueryError, match=words):
        read_pairs(tmp_path / "captions.tsv")
