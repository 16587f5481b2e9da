"""The number format for training on a CPU: bfloat16 if the CPU supports it, else float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_COMPUTES_IN_BF16 = ("avx512_bf16", "amx_bf16", "bf16")


def cpu_computes_in_bf16() -> bool:
    """True if this CPU multiplies in bfloat16 (AVX-512 BF16, AMX, or Arm's extension).

    Otherwise torch emulates bfloat16, many times slower than float32. If torch cannot report it, the CPU is treated as
    one without: float32 works everywhere.
    """
    tell = getattr(torch.cpu, "get_capabilities", None)
    known: dict[str, Any] = tell() if tell is not None else {}
    return any(bool(known.get(name)) for name in _COMPUTES_IN_BF16)


def autocast(device: str = "cpu", *, wanted: bool = True) -> AbstractContextManager[Any]:
    """torch's autocast to bfloat16 on a GPU and on a CPU that supports it; else a context without effect.

    Args:
        device: ``cpu`` or ``cuda``.
        wanted: False for float32 on all devices.
    """
    if not wanted or (device == "cpu" and not cpu_computes_in_bf16()):
        return nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16)
