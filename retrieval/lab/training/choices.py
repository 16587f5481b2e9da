"""From the user's options to a plan; checks first that everything needed is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.encoders.names.open_clip import INSTALL_TORCH
from retrieval.errors import RuntimeUnavailable

if TYPE_CHECKING:
    from retrieval.lab.training.run import Plan

_EPOCHS = 20
_RATE_SCRATCH, _RATE_TUNING = 1e-3, 1e-5
_AREA_SCRATCH, _AREA_TUNING = 0.5, 0.9


def plan_of(
    begin: str,
    out: Path,
    *,
    last_blocks: int | None,
    epochs: int | None,
    minutes: float | None,
    rate: float | None,
    mirror: bool,
    share: float,
    resume: bool,
    device: str,
    **settings: Any,
) -> Plan:
    """The plan of a run, with defaults that depend on each other: small steps and mild crops for a trained model.

    Raises:
        RuntimeUnavailable: torch or what an export needs is not installed.
        SettingsError: a setting out of range.
    """
    from importlib.util import find_spec

    if missing := [name for name in ("torch", "onnx", "openvino", "safetensors") if find_spec(name) is None]:
        raise RuntimeUnavailable(f"training needs {' and '.join(missing)}, not installed", INSTALL_TORCH)
    from retrieval.lab.training.augment import Variation
    from retrieval.lab.training.run import Plan
    from retrieval.lab.training.start import DEFAULT_SIZE, SCRATCH, Mode
    from retrieval.lab.training.trainer import Settings

    begin = begin or f"{SCRATCH}{DEFAULT_SIZE}"
    scratch = begin.startswith(SCRATCH)
    variation = Variation(area=_AREA_SCRATCH if scratch else _AREA_TUNING, mirror=0.5 if mirror else 0.0)
    return Plan(
        begin=begin,
        mode=Mode(last_blocks),
        settings=Settings(
            epochs=_EPOCHS if epochs is None and minutes is None else epochs,
            minutes=minutes,
            rate=rate or (_RATE_SCRATCH if scratch else _RATE_TUNING),
            variation=variation,
            **settings,
        ),
        out=out,
        share=share,
        resume=resume,
        device=device,
    )
