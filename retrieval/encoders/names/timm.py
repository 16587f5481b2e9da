"""timm's own records: checkpoints, their preprocessing, and their hub repositories."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from retrieval.encoders.names.open_clip import INSTALL_TORCH, cached_tables
from retrieval.errors import RuntimeUnavailable, UnknownEncoder

_KEPT = (
    "input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std", "license", "hf_hub_id", "hf_hub_filename",
    "classifier", "fixed_input_size",
)  # fmt: skip


@dataclass(frozen=True)
class TimmTables:
    """timm's registry.

    Args:
        checkpoints: ``ARCHITECTURE.TAG`` -> its record.
        architectures: name -> its default checkpoint, "" if it has no published weights.
    """

    checkpoints: Mapping[str, Mapping[str, Any]]
    architectures: Mapping[str, str]


def find_checkpoint(name: str) -> tuple[str, Mapping[str, Any]]:
    """(``ARCHITECTURE.TAG``, its record) for a name with or without a tag.

    Raises:
        UnknownEncoder: timm has no such checkpoint; the hint contains the nearest names.
        RuntimeUnavailable: timm is not installed.
    """
    tables = timm_tables()
    full = name if "." in name else tables.architectures.get(name, "")
    if full in tables.checkpoints:
        return full, tables.checkpoints[full]
    near = difflib.get_close_matches(name, tables.checkpoints, 4, 0.5)
    offered = ", ".join(f"timm:{each}" for each in near)
    raise UnknownEncoder(
        f"timm has no published weights called {name!r}", f"nearest: {offered}" if near else "see timm's own list"
    )


@cache
def timm_tables() -> TimmTables:
    """The registry of the installed timm, from a cached copy if there is one (importing timm takes seconds).

    Raises:
        RuntimeUnavailable: timm is not installed.
    """
    return cached_tables("timm", "timm", TimmTables, _import_tables)


def _import_tables() -> TimmTables:
    try:
        import timm
    except ImportError as error:
        raise RuntimeUnavailable(f"timm cannot be imported ({error})", INSTALL_TORCH) from error
    checkpoints = {}
    for name in timm.list_pretrained():
        record = timm.get_pretrained_cfg(name).to_dict()
        checkpoints[name] = {key: record[key] for key in _KEPT if record.get(key) is not None}
    architectures = {}
    for name in timm.list_models():
        default = timm.get_pretrained_cfg(name, allow_unregistered=True)
        full = f"{name}.{default.tag}" if default is not None and default.tag else ""
        architectures[name] = full if full in checkpoints else ""
    # Through JSON, so that the first and later runs see the same types (tuples become lists).
    return TimmTables(**json.loads(json.dumps({"checkpoints": checkpoints, "architectures": architectures})))
