"""The software bill of materials: every package that photoseek may use at runtime, with its version and licence.

``make sbom`` runs it in the environment of the tools. cyclonedx-py lists all that is installed; what only tests and
developers need is left out here. A package without a version or a licence is an error, not a gap.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
NOT_IN_IT = {
    "dev": "not for users",
    "gpu": "the same as torch, with faiss-gpu instead of faiss-cpu",
    "map": "not in the environment of the tests",
}
"""Extras that are left out, with the reason."""

LICENCES = {
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",
    "dlib-bin": "BSL-1.0",
    "nvidia-cusparselt-cu13": "LicenseRef-NVIDIA-Proprietary",
    "protobuf": "BSD-3-Clause",
    "ray": "Apache-2.0",
    "resvg-py": "MIT",
    "torchvision": "BSD-3-Clause",
    "transformers": "Apache-2.0",
}
"""As their files of licences say, for packages that state it in words of their own, or not at all."""


def main(python: str, target: str) -> None:
    installed = _installed(python)
    needed = closure(_required(), installed)
    bom = _listed(python)
    bom["components"] = [entry for entry in bom["components"] if _key(entry) in needed]
    _edges(bom, needed)
    for entry in bom["components"]:
        if not entry.get("licenses") and _key(entry) in LICENCES:
            entry["licenses"] = [{"expression": LICENCES[_key(entry)], "acknowledgement": "concluded"}]
    problems = [f"{name}: not listed" for name in sorted(needed.keys() - set(map(_key, bom["components"])))]
    problems += [f"{_key(each)}: no version" for each in bom["components"] if not each.get("version")]
    problems += [
        f"{_key(each)}: no licence; look it up, add it" for each in bom["components"] if not each.get("licenses")
    ]
    text = json.dumps(bom, indent=1, sort_keys=True) + "\n"
    invalid = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problems or invalid:
        sys.exit("\n".join([*problems, *([str(invalid)] if invalid else [])]))
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(text, encoding="utf-8")
    print(f"{target}: {len(bom['components'])} packages; without the extras {', '.join(NOT_IN_IT)}")


def closure(required: Iterable[Requirement], installed: dict[str, Distribution]) -> dict[str, set[str]]:
    """What these requirements lead to on this platform: canonical names, each with the names that it needs itself.

    Raises:
        SystemExit: one is not installed.
    """
    found: dict[str, set[str]] = {}
    done: set[tuple[str, str]] = set()
    waiting = list(required)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in installed:
            sys.exit(f"{requirement} is not installed: make sbom lists what is")
        needs = found.setdefault(name, set())
        for extra in ("", *requirement.extras):
            if (name, extra) in done:
                continue
            done.add((name, extra))
            for text in installed[name].requires or []:
                next_one = Requirement(text)
                if next_one.marker is None or next_one.marker.evaluate({"extra": extra}):
                    needs.add(canonicalize_name(next_one.name))
                    waiting.append(next_one)
    return found


def _required() -> list[Requirement]:
    """All that pyproject.toml asks for on this platform, but for the extras that are left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = list(project["dependencies"])
    for extra, more in project["optional-dependencies"].items():
        if extra not in NOT_IN_IT:
            texts += more
    required = map(Requirement, texts)
    return [each for each in required if each.name != "photoseek" and (each.marker is None or each.marker.evaluate())]


def _installed(python: str) -> dict[str, Distribution]:
    paths = json.loads(subprocess.check_output([python, "-c", "import json, sys; print(json.dumps(sys.path))"]))
    return {canonicalize_name(each.metadata["Name"]): each for each in reversed(list(distributions(path=paths)))}


def _listed(python: str) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("cyclonedx-py")), "environment", "--output-reproducible"]
    made = subprocess.run(
        [*command, "--pyproject", str(ROOT / "pyproject.toml"), "-o", "-", python], stdout=subprocess.PIPE, check=True
    )
    bom: dict[str, Any] = json.loads(made.stdout)
    return bom


def _edges(bom: dict[str, Any], needed: dict[str, set[str]]) -> None:
    """Keep, of who depends on whom, what holds at runtime."""
    names = {entry["bom-ref"]: _key(entry) for entry in bom["components"]}
    root = bom["metadata"]["component"]["bom-ref"]
    kept = []
    for edge in bom["dependencies"]:
        if edge["ref"] == root:
            direct = {canonicalize_name(each.name) for each in _required()}
        elif edge["ref"] in names:
            direct = needed[names[edge["ref"]]]
        else:
            continue
        to = [ref for ref in edge.get("dependsOn", []) if names.get(ref) in direct]
        kept.append({"ref": edge["ref"], **({"dependsOn": to} if to else {})})
    bom["dependencies"] = kept


def _key(entry: dict[str, Any]) -> str:
    return canonicalize_name(entry["name"])


if __name__ == "__main__":
    main(*sys.argv[1:])
