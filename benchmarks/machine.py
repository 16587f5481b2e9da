"""The machine that was measured."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.tables import Table
from retrieval.encoders.onnx.encoder import available_cpus

_PACKAGES = ("photoseek", "numpy", "openvino", "faiss-cpu", "pillow", "sqlalchemy")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")
_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "PHOTOSEEK_PRECISION")


def machine_table() -> Table:
    """CPU, memory, system, versions, and the variables that affect the figures."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    rows = [
        ("CPU", _cpu()),
        ("CPU extensions", ", ".join(_flags()) or "unknown"),
        ("cores", f"{available_cpus()} usable of {os.cpu_count()}"),
        ("memory", _memory()),
        ("system", platform.platform(terse=True)),
        ("Python", f"{platform.python_version()} ({sys.implementation.name}), SQLite {sqlite3.sqlite_version}"),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)),
        ("set variables", ", ".join(f"{n}={os.environ[n]}" for n in _BLAS if n in os.environ) or "none"),
        ("load before", f"{load:.2f}"),
        ("date", datetime.now(UTC).date().isoformat()),
    ]
    return Table("Machine", ("what", "value"), rows, is_text=True)


def _cpu() -> str:
    """The model's name if Linux reports it; some virtual machines hide it."""
    found = _from_proc("/proc/cpuinfo", "model name")
    details = [f"family {_from_proc('/proc/cpuinfo', 'cpu family')}" if found else ""]
    return ", ".join(filter(None, (found or platform.processor() or platform.machine(), *details)))


def _flags() -> list[str]:
    present = (_from_proc("/proc/cpuinfo", "flags") or _from_proc("/proc/cpuinfo", "Features")).split()
    return [flag for flag in _FLAGS if flag in present]


def _memory() -> str:
    total = _from_proc("/proc/meminfo", "MemTotal").split()
    return f"{int(total[0]) / (1 << 20):.1f} GiB" if total else "unknown"


def _from_proc(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
