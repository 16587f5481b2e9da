"""What may import what, and what a cold start may drag in; checked in fresh processes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch", "torchvision", "open_clip", "timm", "transformers", "openvino", "faiss", "sqlalchemy", "alembic",
    "tokenizers", "huggingface_hub", "ftfy", "regex", "rich", "PIL", "pillow_heif",
}  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running ``code``."""
    script = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nprint(*{{m.partition('.')[0] for m in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import retrieval, indexes, cli",
        "from retrieval import Gallery, Query, QueryEngine, Filter, Hit, load_encoder",
        "import retrieval.scan, retrieval.filters, retrieval.records, retrieval.reader, retrieval.sync",
        (
            "from typer.testing import CliRunner; import cli\n"
            "assert CliRunner().invoke(cli.app, ['search', '--help']).exit_code == 0"
        ),
    ],
)
def test_light_imports_stay_light(code: str) -> None:
    assert modules_after(code) & (HEAVY - {"rich"} if "CliRunner" in code else HEAVY) == set()


def test_text_search_needs_no_engine(indexed_examples: Path) -> None:
    code = (
        "import sys, cli\n"
        f"sys.argv = ['photoseek', 'search', 'a dog', '--gallery', {str(indexed_examples)!r}, '-n', '2']\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )
    assert modules_after(code) & HEAVY == set()


def test_a_repeated_text_search_loads_no_model(indexed_examples: Path) -> None:
    run = (
        f"import sys, cli; sys.argv = ['photoseek', 'search', 'two dogs', '--gallery', {str(indexed_examples)!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
    )
    asked = run + "print('retrieval.encoders.load' in sys.modules, 'retrieval.encoders.tokenizer' in sys.modules)"
    said = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
        said.append(done.stdout.splitlines()[-1])
    assert said == ["True True", "False False"]


def test_similar_to_a_known_picture_needs_no_engine(indexed_examples: Path) -> None:
    photo = ROOT / "examples" / "photos" / "animals" / "dog.jpg"
    code = (
        "import sys, cli\n"
        f"sys.argv = ['photoseek', 'similar', {str(photo)!r}, '--gallery', {str(indexed_examples)!r}, '--json']\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )
    assert modules_after(code) & HEAVY == set()


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports anywhere, type-checking blocks left out."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


FILES = [*sorted((ROOT / "indexes").glob("*.py")), *sorted((ROOT / "retrieval").rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    imported = imports_of(path)
    assert "cli" not in imported or path.name == "start.py"  # which hands over to it
    if path.is_relative_to(ROOT / "indexes"):
        assert not any(name.startswith("retrieval") for name in imported)


# Only these files may import what is heavy or what binds us to one library.
ALLOWED = {
    "faiss": {"indexes/faiss_index.py", "indexes/faiss_parts.py"},
    "openvino": {"retrieval/encoders/int8.py", "retrieval/encoders/onnx.py"},
    "sqlalchemy": {
        "retrieval/schema.py",
        "retrieval/catalog.py",
        "retrieval/migrations/versions/0001_first_catalog.py",
    },
    "typer": {"retrieval/encoders/listing.py"},
}


@pytest.mark.parametrize("library", ALLOWED)
def test_one_home_for_each_library(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in FILES
        if any(name.partition(".")[0] == library for name in imports_of(path))
    }
    assert users == ALLOWED[library]


def test_leaves_import_no_siblings() -> None:
    leaves = {
        "scan": {"errors", "formats", "ignore", "paths"},
        "exif": {"quiet"},
        "filters": {"errors"},
        "paths": set(),
        "formats": {"errors"},
    }
    for leaf, allowed in leaves.items():
        imported = {name for name in imports_of(ROOT / "retrieval" / f"{leaf}.py") if name.startswith("retrieval.")}
        assert imported <= {f"retrieval.{name}" for name in allowed}, leaf
