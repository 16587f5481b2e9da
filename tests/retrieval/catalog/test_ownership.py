"""The catalog owns its rows: statements on its tables stand in ``retrieval/catalog`` and nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from sqlalchemy import text

from retrieval.catalog.schema import metadata

ROOT = Path(__file__).parents[3]
HOME = ROOT / "retrieval" / "catalog"
FILES = [*sorted((ROOT / "retrieval").rglob("*.py")), *sorted((ROOT / "indexes").rglob("*.py")), ROOT / "cli.py"]

NOT_OURS = {
    "retrieval/filters",  # conditions of filters: pieces of a statement that the catalog puts together
    "indexes/pgvector.py",  # tables of vectors in a PostgreSQL of the user's, with a pool of connections to it
    "retrieval/encoders/cache.py",  # a database of its own
    "retrieval/rendering/thumbnail_store.py",  # likewise, which drops what the catalog does not know
    "retrieval/foreign_databases.py",  # settings of connections, to the catalog and to those two
}
TABLES = "|".join(sorted(metadata.tables))
STATEMENT = re.compile(rf"\b(SELECT|INSERT|UPDATE|DELETE|FROM|JOIN)\b.*\b({TABLES})\b|\bPRAGMA\b", re.DOTALL)
NAME = re.compile(r"(?<!:):(\w+)")


def texts(path: Path) -> list[str]:
    """Every text of a file that is no documentation, with ``{}`` for what an f-string puts in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if id(node) in documentation or id(node) in inside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
    return found


def statements(path: Path) -> list[str]:
    return [found for found in texts(path) if STATEMENT.search(found)]


def is_ours(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return not path.is_relative_to(HOME) and not any(
        name == other or name.startswith(f"{other}/") for other in NOT_OURS
    )


@pytest.mark.parametrize(
    "path", [path for path in FILES if is_ours(path)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_statement_on_the_catalog_stands_elsewhere(path: Path) -> None:
    assert statements(path) == []
    code = path.read_text(encoding="utf-8")
    assert "import sqlalchemy" not in code and "from sqlalchemy" not in code and "exec_driver_sql" not in code


def test_the_statements_of_the_catalog_are_found() -> None:
    assert {path.stem for path in HOME.glob("*.py") if statements(path)} >= {
        "commit", "embeddings", "encoders", "facets", "folders", "images", "labels", "orders", "runs", "stored",
    }  # fmt: skip


@pytest.mark.parametrize("path", sorted(HOME.glob("*.py")), ids=lambda path: path.stem)
def test_sqlalchemy_finds_the_same_names_in_a_statement(path: Path) -> None:
    for statement in statements(path):
        assert set(text(statement).compile().params) == set(NAME.findall(statement)), statement
