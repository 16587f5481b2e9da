"""The pinned versions of CI fit pyproject.toml, and the bill of materials is complete."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BOM = ROOT / "dist" / "photoseek.cdx.json"
CI = {"python_version": "3.11", "python_full_version": "3.11.7", "sys_platform": "linux", "platform_machine": "x86_64"}
LOCKS = ("requirements.txt", "build.txt", "tools.txt")
RENEW = "run: make lock"


@cache
def pins(name: str) -> dict[str, tuple[str, int]]:
    """Of a file in ``release/``: each package, its version and the number of its hashes."""
    found: dict[str, tuple[str, int]] = {}
    for entry in (ROOT / "release" / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        requirement, *hashes = re.split(r"\s+--hash=sha256:(?=[0-9a-f]{64}\b)", entry.strip())
        pinned = Requirement(requirement)
        (exact,) = pinned.specifier
        assert exact.operator == "==" and "*" not in exact.version, entry
        found[canonicalize_name(pinned.name)] = (exact.version, len(hashes))
    return found


def required(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for with these extras, where CI runs."""
    project = PROJECT["project"]
    found, waiting, done = [], [*project["dependencies"]], set()
    for extra in extras:
        waiting += project["optional-dependencies"][extra]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == "photoseek":
            waiting += [
                text for extra in sorted(requirement.extras - done) for text in project["optional-dependencies"][extra]
            ]
            done |= requirement.extras
        elif requirement.marker is None or requirement.marker.evaluate(CI):
            found.append(requirement)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes_and_no_index(name: str) -> None:
    text = (ROOT / "release" / name).read_text(encoding="utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    assert pins(name) and not [package for package, (_, hashes) in pins(name).items() if not hashes]


@pytest.mark.parametrize(
    "requirement", required("cpu", "torch", "web", "mcp", "dev"), ids=lambda requirement: requirement.name
)
def test_the_pins_of_ci_are_what_the_project_asks_for(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    assert name in pins("requirements.txt"), RENEW
    assert pins("requirements.txt")[name][0] in requirement.specifier, RENEW


def test_what_builds_is_pinned_to_one_version() -> None:
    for text in PROJECT["build-system"]["requires"]:
        built_with = Requirement(text)
        pinned = pins("build.txt")[built_with.name]
        assert pinned[0] in built_with.specifier, RENEW
        assert pins("requirements.txt").get(built_with.name, pinned) == pinned, "the second would replace the first"


@pytest.mark.parametrize("name", ["build", "tools"])
def test_the_other_pins_are_what_is_asked_for(name: str) -> None:
    lines = (ROOT / "release" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    for asked in map(Requirement, (line for line in lines if not line.startswith("#"))):
        assert pins(f"{name}.txt")[asked.name][0] in asked.specifier, RENEW


def test_python_is_declared_as_far_as_it_is_tested() -> None:
    declared = [each for each in PROJECT["project"]["classifiers"] if re.search(r"Python :: \d\.", each)]
    assert declared == ["Programming Language :: Python :: 3.11"]
    assert PROJECT["project"]["requires-python"] == ">=3.11"


# The bill of materials


@pytest.fixture(scope="module")
def bom() -> dict[str, Any]:
    if not BOM.exists():
        pytest.skip("make sbom has not been run")
    content: dict[str, Any] = json.loads(BOM.read_text(encoding="utf-8"))
    return content


def test_the_bill_of_materials_names_every_runtime_dependency(bom: dict[str, Any]) -> None:
    listed = {canonicalize_name(entry["name"]): entry for entry in bom["components"]}
    extras = [extra for extra in PROJECT["project"]["optional-dependencies"] if extra not in ("dev", "gpu", "map")]
    for requirement in required(*extras):
        entry = listed[canonicalize_name(requirement.name)]
        assert entry["version"] == version(requirement.name)
        assert entry["purl"].startswith(f"pkg:pypi/{canonicalize_name(requirement.name)}@{entry['version']}")


def test_each_entry_has_a_version_and_a_licence(bom: dict[str, Any]) -> None:
    assert bom["bomFormat"] == "CycloneDX" and bom["metadata"]["component"]["name"] == "photoseek"
    assert len(bom["components"]) > 50
    for entry in bom["components"]:
        assert entry["version"], entry["name"]
        licences = [
            each.get("expression") or each["license"].get("id") or each["license"]["name"] for each in entry["licenses"]
        ]
        assert licences and all(licences), entry["name"]


def test_what_only_developers_need_is_not_in_it(bom: dict[str, Any]) -> None:
    listed = {canonicalize_name(entry["name"]) for entry in bom["components"]}
    assert not listed & {"pytest", "mypy", "ruff", "playwright", "schemathesis", "hypothesis"}
    assert "sqlalchemy" in listed and "starlette" in listed, "what its dependencies need is in it as well"


def test_who_depends_on_whom_names_what_is_listed(bom: dict[str, Any]) -> None:
    refs = {entry["bom-ref"] for entry in (*bom["components"], bom["metadata"]["component"])}
    for edge in bom["dependencies"]:
        assert {edge["ref"], *edge.get("dependsOn", [])} <= refs
    reached, waiting = set(), [bom["metadata"]["component"]["bom-ref"]]
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in bom["dependencies"]}
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += edges.get(ref, [])
    assert reached == refs, "an entry that nothing needs"
