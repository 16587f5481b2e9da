"""Which imports are allowed, and what a cold start may import; checked in fresh processes."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch", "torchvision", "open_clip", "timm", "transformers", "openvino", "faiss", "sqlalchemy", "alembic",
    "tokenizers", "huggingface_hub", "ftfy", "regex", "rich", "PIL", "pillow_heif", "pymilvus", "psycopg", "grpc",
    "pyarrow", "pandas", "ray",
}  # fmt: skip
WEB = {"fastapi", "starlette", "uvicorn", "pydantic", "prometheus_client", "multipart", "httpx", "mcp", "anyio"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running ``code``."""
    script = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nprint(*{{m.partition('.')[0] for m in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import retrieval, indexes, cli, retrieval.duplicates",
        "from retrieval import Gallery, Query, QueryEngine, Filter, Hit, load_encoder",
        (
            "import retrieval.indexing.scan, retrieval.sync, retrieval.filters\n"
            "import retrieval.catalog.records, retrieval.catalog.reader"
        ),
        (
            "from typer.testing import CliRunner; from retrieval.commands.app import app\n"
            "assert CliRunner().invoke(app, ['search', '--help']).exit_code == 0"
        ),
    ],
)
def test_light_imports_stay_light(code: str) -> None:
    assert modules_after(code) & (HEAVY - {"rich"} if "CliRunner" in code else HEAVY) == set()


NOT_FOR_WORDS = {
    *(f"retrieval.catalog.{name}" for name in ("exclusions", "facets", "folders", "places", "runs", "selection")),
    *(f"retrieval.commands.{name}" for name in ("app", "options", "rules", "search", "values")),
    "retrieval.encoders.onnx.layout",
    "retrieval.catalog.lexicon", "retrieval.catalog.texts", "retrieval.search.lexical", "retrieval.search.fused",
    "retrieval.filters.conditions", "retrieval.pictures.picture_file",
}  # fmt: skip
"""Light modules that a search by words has no use for."""


def test_text_search_needs_no_engine(indexed_examples: Path) -> None:
    code = (
        "import sys, cli\n"
        f"sys.argv = ['photoseek', 'search', 'something else', '--gallery', {str(indexed_examples)!r}, '-n', '2']\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"assert not {NOT_FOR_WORDS} & set(sys.modules), {NOT_FOR_WORDS} & set(sys.modules)"
    )
    assert modules_after(code) & (HEAVY | {"typer", "click"}) == set()


def test_a_repeated_text_search_loads_no_model(indexed_examples: Path) -> None:
    run = (
        f"import sys, cli; sys.argv = ['photoseek', 'search', 'two dogs', '--gallery', {str(indexed_examples)!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
    )
    loaded = ", ".join(f"'retrieval.encoders.{name}' in sys.modules" for name in ("registry", "onnx.tokenizer"))
    asked = run + f"print({loaded})"
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


@cache
def without_type_checking(path: Path) -> ast.Module:
    """A file's syntax tree, of which blocks for type checkers alone are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    return tree


@cache  # each file is asked for by many tests, and parsing them all takes seconds
def imports_of(path: Path) -> set[str]:
    """Every module that a file imports anywhere, type-checking blocks left out."""
    found: set[str] = set()
    for node in ast.walk(without_type_checking(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


FILES = [*sorted((ROOT / "indexes").glob("*.py")), *sorted((ROOT / "retrieval").rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    imported = imports_of(path)
    assert "cli" not in imported
    if path.is_relative_to(ROOT / "indexes"):
        assert not any(name.startswith("retrieval") for name in imported)
    if not path.is_relative_to(ROOT / "retrieval" / "commands"):
        assert not any(name.startswith("retrieval.commands") for name in imported)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in [ROOT / "cli.py", *FILES]}


@cache
def arrows() -> set[tuple[str, str]]:
    """(importing module, imported module), imports inside functions included, those for type checkers alone not."""
    found = set()
    for name, path in MODULES.items():
        for node in ast.walk(without_type_checking(path)):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [each if each in MODULES else node.module for each in whole]
            else:
                continue
            found |= {(name, target) for target in targets if target in MODULES and target != name}
    return found


def room_of(module: str) -> str:
    """The folder a module lies in; a file beside them is a room of its own."""
    parts = module.split(".")
    return ".".join(parts[: 3 if parts[:2] == ["retrieval", "lab"] else 2]) if parts[0] == "retrieval" else parts[0]


def circle(arrows: set[tuple[str, str]]) -> list[str]:
    """The names on some circle of arrows; empty if there is none: then all can be drawn downwards."""
    left = {name for arrow in arrows for name in arrow}
    while ends := {name for name in left if not any(a == name and b in left for a, b in arrows)}:
        left -= ends
    while begins := {name for name in left if not any(b == name and a in left for a, b in arrows)}:
        left -= begins
    return sorted(left)


def test_imports_of_files_go_downwards_only() -> None:
    assert circle({(a, b) for a, b in arrows()}) == []


def test_imports_of_rooms_go_downwards_only() -> None:
    rooms = {(room_of(a), room_of(b)) for a, b in arrows()}
    assert circle({(a, b) for a, b in rooms if a != b}) == []


# What a command file may import of this project before it runs: each other line is paid by `--help`.
LIGHT = {
    "retrieval.asker",
    "retrieval.config",
    "retrieval.config.process",
    "retrieval.errors",
    "retrieval.interrupts",
    "retrieval.paths",
    "retrieval.streams",
    "retrieval.commands",
    "retrieval.filters",
    "retrieval.filters.conditions",
    "retrieval.program",
    *(f"retrieval.commands.{name}" for name in ("answers", "options", "rules", "say", "searching", "values")),
}
NOT_AT_TOP = {"model_lists"}  # imported by its command, inside a function


@pytest.mark.parametrize("path", sorted((ROOT / "retrieval" / "commands").glob("*.py")), ids=lambda path: path.stem)
def test_commands_import_the_library_when_they_run(path: Path) -> None:
    if path.stem in NOT_AT_TOP:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_top = {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}
    at_top |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in at_top if name.partition(".")[0] in ("retrieval", "indexes", *HEAVY)} <= LIGHT


# Only these files may import what is heavy or what binds us to one library.
ALLOWED = {
    "umap": {"retrieval/overview_maps/layout.py"},
    "faiss": {"indexes/faiss_index.py", "indexes/faiss_parts.py", "indexes/gpu.py", "indexes/kmeans.py"},
    "openvino": {f"retrieval/encoders/onnx/{name}.py" for name in ("encoder", "int8", "layout")},
    "pyarrow": {"retrieval/bulk/exporting.py", "retrieval/sources/parquet.py"},
    "ray": {"retrieval/indexing/cluster/head.py"},
    "pymilvus": {"indexes/milvus.py"},
    "milvus_lite": {"indexes/milvus.py"},
    "psycopg": {"indexes/pgvector.py", "retrieval/catalog/postgres/connect.py"},
    "sqlalchemy": {
        "indexes/pgvector.py",
        "retrieval/catalog/column_types.py",
        "retrieval/catalog/collection_tables.py",
        "retrieval/catalog/face_tables.py",
        "retrieval/catalog/lease_tables.py",
        "retrieval/catalog/word_tables.py",
        "retrieval/catalog/postgres/schema.py",
        "retrieval/catalog/schema.py",
        "retrieval/catalog/transaction.py",
        "retrieval/catalog/travelling.py",
        "retrieval/catalog/writer.py",
        "retrieval/catalog/migrations/versions/0001_first_catalog.py",
        "retrieval/catalog/migrations/versions/0002_tags_and_captions.py",
        "retrieval/catalog/migrations/versions/0003_colour.py",
        "retrieval/catalog/migrations/versions/0004_folded_names.py",
        "retrieval/catalog/migrations/versions/0005_revisions.py",
        "retrieval/catalog/migrations/versions/0006_embedding_checksums.py",
        "retrieval/catalog/migrations/versions/0007_exclusions_and_kept_labels.py",
        "retrieval/catalog/migrations/versions/0008_camera_settings.py",
        "retrieval/catalog/migrations/versions/0009_version.py",
        "retrieval/catalog/migrations/versions/0010_places.py",
        "retrieval/catalog/migrations/versions/0011_shots.py",
        "retrieval/catalog/migrations/versions/0012_texts.py",
        "retrieval/catalog/migrations/versions/0013_favourites_and_albums.py",
        "retrieval/catalog/migrations/versions/0014_reads_text.py",
        "retrieval/catalog/migrations/versions/0015_videos.py",
        "retrieval/catalog/migrations/versions/0016_lexical.py",
        "retrieval/catalog/migrations/versions/0017_faces.py",
        "retrieval/catalog/migrations/versions/0018_motion.py",
        "retrieval/catalog/migrations/versions/0019_embedded_xmp.py",
        "retrieval/catalog/migrations/versions/0020_pages.py",
        "retrieval/catalog/migrations/versions/0021_hidden.py",
        "retrieval/catalog/migrations/versions/0024_hosts.py",
        "retrieval/catalog/migrations/versions/0025_leases.py",
    },
    # And every command; and what is run by `python -m`, the built-in model's recipe and the experiments: these are
    # command lines of their own, for who makes models, not for who uses them.
    "typer": set(),
}


@pytest.mark.parametrize("library", ALLOWED)
def test_one_home_for_each_library(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in FILES
        if not (library == "typer" and (path.parent.name == "commands" or path.name == "__main__.py"))
        if any(name.partition(".")[0] == library for name in imports_of(path))
    }
    assert users == ALLOWED[library]


def test_the_web_has_a_room_of_its_own() -> None:
    room, commands = ROOT / "retrieval" / "web", ROOT / "retrieval" / "commands"
    rest = [path for path in FILES if not path.is_relative_to(room)]
    entrances = {commands / "serve.py", commands / "mcp.py"}
    assert not [p for p in rest if p not in entrances and {n.partition(".")[0] for n in imports_of(p)} & WEB]
    assert {p for p in rest if any(name.startswith("retrieval.web") for name in imports_of(p))} <= entrances


def test_a_command_that_is_not_the_server_loads_none_of_it() -> None:
    code = "import cli, retrieval.web, retrieval.commands.serve, retrieval.commands.mcp, retrieval.commands.search"
    assert modules_after(code) & (WEB | HEAVY - {"rich"}) == set()


def test_the_laboratory_is_imported_by_its_commands_alone() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in FILES
        if not path.is_relative_to(ROOT / "retrieval" / "lab")
        and any(name.startswith("retrieval.lab.") for name in imports_of(path))
    }
    assert users == {f"retrieval/commands/{name}.py" for name in ("evaluation", "explain", "training")}


def test_experiments_are_imported_by_nothing() -> None:
    rest = [path for path in FILES if not path.is_relative_to(ROOT / "retrieval" / "lab" / "experiments")]
    assert not [path for path in rest if any(name.startswith("retrieval.lab.experiments") for name in imports_of(path))]
    assert modules_after("import retrieval.lab.experiments") & HEAVY == set()


def test_an_adapter_needs_no_torch() -> None:
    code = "import retrieval.lab.training.adapter_run, retrieval.lab.training.progress, retrieval.indexing.embeddings"
    assert modules_after(code) & {"torch", "open_clip", "safetensors", "onnx", "sqlalchemy"} == set()


def test_leaves_import_no_siblings() -> None:
    leaves = {
        "indexing/scan": {
            "catalog.exclusions",
            "indexing.found_files",
            "indexing.found_folders",
            "errors",
            "indexing.ignore",
            "indexing.source_walk",
            "pictures.optional",
            "pictures.passed_over",
            "paths",
            "regular_files",
            "sources.addresses",
            "sources.places",
            "sources.reading",
        },
        "pictures/dates": set(),
        "pictures/exif": {"pictures.dates", "pictures.motion", "pictures.quiet"},
        "filters": {"asker", "errors", "folding", "lexemes", "tag_text", "paths", "sources.addresses"},
        "folding": set(),
        "lexemes": {"folding"},
        "tag_text": {"errors"},
        "labels/xmp": {"errors", "tag_text", "pictures.dates", "regular_files"},
        "catalog/labels": {"catalog.access", "folding"},
        "catalog/label_moves": {"catalog.images", "catalog.labels", "paths", "regular_files", "sources.reading"},
        "regular_files": set(),
        "paths": {"config"},
        "pictures/phash": {"pictures.colour"},
        "pictures/formats": {"errors", "pictures.raw_detection"},
        "pictures/raw_detection": set(),
    }
    for leaf, allowed in leaves.items():
        home = ROOT / "retrieval" / leaf
        files = sorted(home.glob("*.py")) if home.is_dir() else [home.with_suffix(".py")]
        imported = {name for file in files for name in imports_of(file) if name.startswith("retrieval.")}
        outside = {name.removeprefix("retrieval.") for name in imported if name.split(".")[1] != leaf}
        assert outside <= allowed, leaf


def test_the_arithmetic_of_shapes_knows_no_models() -> None:
    arithmetic = {"shape", "cost", "families", "configs", "cells", "check", "recipes"}
    allowed = {"retrieval.errors", "retrieval.encoders.base", *(f"retrieval.lab.explain.{name}" for name in arithmetic)}
    for name in arithmetic:
        imported = imports_of(ROOT / "retrieval" / "lab" / "explain" / f"{name}.py")
        assert {each for each in imported if each.startswith("retrieval.")} <= allowed, name
        assert not {each.partition(".")[0] for each in imported} & HEAVY, name


def test_metrics_know_nothing_of_files_and_models() -> None:
    arithmetic = {
        "ranks", "metrics", "bootstrap", "crossmodal", "classification", "neighbours", "logistic", "probe",
    }  # fmt: skip
    home = "retrieval.lab.evaluation"
    allowed = {"retrieval.errors", "retrieval.encoders.base", *(f"{home}.{name}" for name in arithmetic)}
    for name in arithmetic:
        imported = imports_of(ROOT / "retrieval" / "lab" / "evaluation" / f"{name}.py")
        assert {each for each in imported if each.startswith("retrieval.")} <= allowed, name
