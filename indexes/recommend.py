"""The recommended index type for a gallery's size, and the reason."""

from __future__ import annotations

from typing import NamedTuple

from indexes.spec import IndexSpec

EXACT_UP_TO = 50_000
HALF_UP_TO = 200_000
ONE_MACHINE_UP_TO = 10_000_000
"""Of so many x 256, a search takes about 60 ms of one core (benchmarks/large.py): all codes are read for each."""
_GROW = 1.5
_SHRINK = 0.5


class Recommendation(NamedTuple):
    """A specification and the reason for it, in one line for the user."""

    spec: IndexSpec
    reason: str


def recommend_spec(n: int, dim: int, current: IndexSpec | None = None) -> Recommendation:
    """The recommended index for ``n`` vectors of dimension ``dim``.

    With ``current`` (the gallery's present index) there is hysteresis: it is kept until ``n`` is more than 1.5
    times its upper limit or less than half of its lower limit, so that a gallery whose size is close to a
    threshold is not rebuilt on each run.

    Measured at dim 512, one query: float16 3.1 ms at 100,000 and 31 ms at 1,000,000 vectors. Codes of 4 bits for four
    numbers, re-scored, take 0.37 of the time of those for two numbers at 1,000,000 (5.8 and 15.9 ms, quiet, AVX-512),
    and half the memory, at the same recall@10 of 0.9995 for queries by text and by image alike. IVF
    and HNSW are never recommended: tuned on image queries, their recall@10 for text queries was only 0.33-0.74.
    """
    tiers = _tiers(dim)
    for lower, upper, spec, reason in tiers:
        if spec == current and lower * _SHRINK <= n <= upper * _GROW:
            return Recommendation(spec, reason)
    return next(Recommendation(spec, reason) for _, upper, spec, reason in tiers if n <= upper)


def _tiers(dim: int) -> list[tuple[float, float, IndexSpec, str]]:
    exact = IndexSpec.parse("Exact")
    half = IndexSpec.parse("SQfp16")
    few = f"up to {EXACT_UP_TO:,} pictures numpy over a memory-mapped matrix is exact and starts fastest"
    some = f"up to {HALF_UP_TO:,} pictures a full scan of float16 vectors takes milliseconds"
    if dim % 2:  # no equal parts for a code
        return [(0, EXACT_UP_TO, exact, few), (EXACT_UP_TO, float("inf"), half, some)]
    many = IndexSpec.parse(f"PQ{dim // (2 if dim % 4 else 4)}x4fs,Refine(SQfp16)")
    why = f"above {HALF_UP_TO:,} pictures 4-bit codes re-scored in float16 search several times faster"
    late = f"above {ONE_MACHINE_UP_TO:,} pictures the same, but a server may be faster: see docs/scale.md"
    return [
        (0, EXACT_UP_TO, exact, few),
        (EXACT_UP_TO, HALF_UP_TO, half, some),
        (HALF_UP_TO, ONE_MACHINE_UP_TO, many, why),
        (ONE_MACHINE_UP_TO, float("inf"), many, late),
    ]
