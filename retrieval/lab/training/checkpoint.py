"""The state of a run as one safetensors file: tensors, and other values as JSON in its header. Never a pickle."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.errors import EncoderError

State = dict[str, Tensor]


def write_state(path: Path, tensors: State, about: dict[str, Any]) -> None:
    """Write a checkpoint; an existing one is only replaced when this one is complete."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        save_file(copies, str(part), metadata={"about": json.dumps(about)})
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        from retrieval.system_errors import not_written

        raise not_written(path, error, "take another --out") from error


def read_state(path: Path) -> tuple[State, dict[str, Any]]:
    """Read what :func:`write_state` wrote.

    Raises:
        EncoderError: the file is damaged or has another form.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 - no mapping
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise EncoderError(f"{path} is no checkpoint: {str(error)[:200]}", "start again with another --out") from error


def with_prefix(prefix: str, tensors: State) -> State:
    """The tensors under ``prefix.NAME``."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def without_prefix(prefix: str, tensors: State) -> State:
    """The tensors added by :func:`with_prefix`."""
    return {name.removeprefix(f"{prefix}."): v for name, v in tensors.items() if name.startswith(f"{prefix}.")}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> State:
    """An optimiser's state of each parameter, as ``NUMBER.KEY``."""
    state = optimiser.state_dict()["state"]
    return {
        f"{number}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, held in state.items()
        for key, value in held.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: State) -> None:
    """Restore the result of :func:`optimiser_tensors`; rates and decays stay those of ``optimiser``."""
    body = optimiser.state_dict()
    held: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        held.setdefault(int(number), {})[key] = value
    body["state"] = held
    optimiser.load_state_dict(body)


def load_into(module: nn.Module, tensors: State, where: Path) -> None:
    """Load weights strictly; raises EncoderError if they are of another model."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise EncoderError(f"{where} is of another model", "give the same --from and sizes as before") from error
