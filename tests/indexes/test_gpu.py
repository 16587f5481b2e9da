"""GpuIndex: which searches run on a GPU. The contract of its kinds is tested in test_contract.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("faiss")

import faiss

from indexes import BackendUnavailable, Effort, IndexSpec, SpecError, create_index, load_snapshot, save_snapshot
from indexes.gpu import FaissGpu, GpuIndex, found_device, require_device
from tests.indexes.stand_in import CpuDevice, cpu_for_gpu
from tests.indexes.vectors import DIM, built, clustered

N = 2000
VECTORS = clustered(N)
IDS = np.arange(N, dtype=np.int64) * 2
QUERIES = clustered(6, seed=2)
KINDS = ("GPU,Flat", "GPU,SQfp16", "CAGRA32")
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def device() -> Iterator[CpuDevice]:
    with cpu_for_gpu() as device:
        yield device


def exact(allowed: np.ndarray, k: int) -> np.ndarray:
    rows = allowed // 2
    return allowed[np.argsort(-(QUERIES @ VECTORS[rows].T), axis=1)[:, :k]]


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]))


def test_spellings() -> None:
    spellings = {"gpu,flat": "GPU,Flat", "GPU,SQFP16": "GPU,SQfp16", "cagra": "CAGRA64", "CAGRA32": "CAGRA32"}
    for text, printed in spellings.items():
        assert str(IndexSpec.parse(text)) == printed
        assert IndexSpec.parse(printed) == IndexSpec.parse(text)
    assert [IndexSpec.parse(kind).is_exact for kind in KINDS] == [True, False, False]
    assert [IndexSpec.parse(kind).knobs for kind in KINDS] == [(), (), ("ef_search",)]
    for wrong in ("GPU", "GPU,IVF16,Flat", "GPU,SQfp16,Refine(Flat)", "CAGRA8", "CAGRA999", "CAGRA32,Flat"):
        with pytest.raises(SpecError):
            IndexSpec.parse(wrong)


@each_kind
def test_the_copy_is_made_once_and_asked_for_what_is_wanted(kind: str, device: CpuDevice) -> None:
    index = built(kind, IDS, VECTORS)
    assert device.made == []
    found = [index.search(QUERIES, 10).ids for _ in range(2)]
    (copy,) = device.made
    assert copy.ntotal == N
    assert len(copy.asked) >= 2
    assert overlap(found[0], exact(IDS, 10)) > 0.97


@each_kind
@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
def test_filters_are_kept_without_the_devices_help(kind: str, share: float, device: CpuDevice) -> None:
    index = built(kind, IDS, VECTORS)
    allowed = np.sort(np.random.default_rng(3).permutation(IDS)[: int(share * N)])
    found = index.search(QUERIES, 10, allowed=allowed).ids
    assert set(found.ravel().tolist()) <= set(allowed.tolist())
    assert overlap(found, exact(allowed, 10)) > 0.97
    assert device.made and min(device.made[0].asked) >= 10 / share


@each_kind
def test_far_from_the_query_a_filters_pictures_are_still_found(kind: str, device: CpuDevice) -> None:
    """None of them is among the candidates, however many more are fetched: the CPU looks behind its selector."""
    index = built(kind, IDS, VECTORS)
    farthest = np.sort(IDS[np.argsort(VECTORS @ QUERIES[0])[: N // 2]])
    found = index.search(QUERIES[:1], 10, allowed=farthest).ids
    assert overlap(found, exact(farthest, 10)[:1]) == 1.0


@each_kind
def test_few_allowed_ones_are_compared_on_the_cpu(kind: str, device: CpuDevice) -> None:
    index = built(kind, IDS, VECTORS)
    found = index.search(QUERIES, 10, allowed=IDS[:600:4])
    assert device.made == []
    assert overlap(found.ids, exact(IDS[:600:4], 10)) == 1.0


@each_kind
def test_additions_and_removals_reach_the_answers(kind: str, device: CpuDevice) -> None:
    index = built(kind, IDS[:1500], VECTORS[:1500])
    index.search(QUERIES, 10)
    index.add(IDS[1500:1700], VECTORS[1500:1700])
    index.remove(IDS[:100])
    assert overlap(index.search(QUERIES, 10).ids, exact(IDS[100:1700], 10)) > 0.97
    assert len(device.made) == 1, "a few rows are no reason for a new copy"
    index.add(IDS[1700:], VECTORS[1700:])
    assert overlap(index.search(QUERIES, 10).ids, exact(IDS[100:], 10)) > 0.97
    assert len(device.made) == (2 if kind == "CAGRA32" else 1)  # a graph is built again, a flat copy is added to
    index.remove(IDS[:800])  # so many that the gaps are closed
    assert overlap(index.search(QUERIES, 10).ids, exact(IDS[800:], 10)) > 0.97
    assert device.made[-1].ntotal == 1200
    assert isinstance(index, GpuIndex)
    index.close()
    assert index._dataset is None, "neither on the device nor for it"


def test_removed_pictures_cost_candidates_and_no_answers(device: CpuDevice) -> None:
    index = built("CAGRA32", IDS, VECTORS)
    index.remove(IDS[::6])
    assert (index.search(QUERIES, 10).ids >= 0).all()
    assert min(device.made[0].asked) > 18


@each_kind
def test_what_is_saved_is_the_cpu_form_and_opens_without_a_gpu(kind: str, tmp_path: Path, device: CpuDevice) -> None:
    index = built(kind, IDS, VECTORS)
    wanted = index.search(QUERIES, 10)
    save_snapshot(index, tmp_path, fingerprint="f", change=3)
    plain = faiss.read_index(str(next(tmp_path.glob("base-*.faiss"))))
    assert type(plain).__name__ in ("IndexFlat", "IndexFlatIP", "IndexScalarQuantizer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexes.gpu.found_device", lambda spec: None)
        loaded = load_snapshot(tmp_path, fingerprint="f", dim=DIM, spec=IndexSpec.parse(kind))
        assert loaded is not None
        opened, change = loaded
        assert change == 3 and isinstance(opened, GpuIndex) and str(opened.spec) == kind
        found = opened.search(QUERIES, 10)
        assert overlap(found.ids, wanted.ids) > 0.97
        opened.add(np.array([7], np.int64), QUERIES[:1])
        assert opened.search(QUERIES[:1], 1).ids.tolist() == [[7]]
        opened.close()


@each_kind
def test_a_gpu_that_fails_is_left_alone(kind: str, device: CpuDevice, caplog: pytest.LogCaptureFixture) -> None:
    index = built(kind, IDS, VECTORS)

    def broken(*args: Any, **settings: Any) -> Any:
        raise RuntimeError("out of memory on the device\nand a long trace")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "flat", broken)
        patch.setattr(device, "graph", broken)
        for _ in range(2):
            assert overlap(index.search(QUERIES, 10).ids, exact(IDS, 10)) > 0.99
    said = [record.getMessage() for record in caplog.records if record.name == "photoseek"]
    assert said == ["the GPU cannot search, going on without it: out of memory on the device"]


def test_effort_is_the_length_of_the_graphs_list(device: CpuDevice) -> None:
    index = built("CAGRA32", IDS, VECTORS)
    recall = [overlap(index.search(QUERIES, 10, effort=Effort(ef_search=ef)).ids, exact(IDS, 10)) for ef in (18, 400)]
    assert recall[1] >= recall[0]
    assert recall[1] > 0.97


class FakeFaiss(SimpleNamespace):
    """faiss as its GPU builds have it: the names that faiss-cpu lacks, over CPU indexes."""

    def __init__(self, gpus: int = 1) -> None:
        calls: list[tuple[Any, ...]] = []

        class Cagra:
            def __init__(self, resources: Any, dim: int, metric: int, config: Any) -> None:
                calls.append((dim, metric, config.graph_degree, config.intermediate_graph_degree))

            def train(self, vectors: np.ndarray, *, numeric_type: int) -> None:
                calls.append((vectors.dtype, vectors.shape, numeric_type))

        def to_gpu(resources: Any, number: int, index: Any, options: Any) -> Any:
            calls.append((number, resources.temporary, options.useFloat16, index.metric_type))
            return faiss.clone_index(index)

        class Resources:
            def setTempMemory(self, size: int) -> None:  # noqa: N802 - faiss's name
                self.temporary = size

        super().__init__(
            calls=calls,
            StandardGpuResources=Resources,
            GpuClonerOptions=SimpleNamespace,
            GpuIndexCagraConfig=SimpleNamespace,
            SearchParametersCagra=SimpleNamespace,
            GpuIndexCagra=Cagra,
            index_cpu_to_gpu=to_gpu,
            get_num_gpus=lambda: gpus,
            IndexFlatIP=faiss.IndexFlatIP,
            METRIC_L2=faiss.METRIC_L2,
            Float16=faiss.Float16,
            __version__="1.15.1",
        )


def test_what_faiss_is_asked_for() -> None:
    library = FakeFaiss()
    gpu = FaissGpu(library)
    flat = gpu.flat(DIM, half=True)
    flat.add(VECTORS)
    assert flat.search(VECTORS[:3], 1)[1].ravel().tolist() == [0, 1, 2]
    gpu.graph(VECTORS.astype(np.float16), 32)
    assert gpu.graph_params(128).itopk_size == 128
    assert library.calls == [
        (0, 256 << 20, True, faiss.METRIC_INNER_PRODUCT),
        (DIM, faiss.METRIC_L2, 32, 64),
        (np.float16, (N, DIM), faiss.Float16),
    ]


@pytest.mark.parametrize(
    ("lacks", "kind", "message", "package"),
    [
        ("StandardGpuResources", "GPU,Flat", "built without GPUs", "faiss-gpu-cu12"),
        ("gpu", "GPU,SQfp16", "sees none", "driver"),
        ("GpuIndexCagra", "CAGRA32", "built without cuVS", "faiss-gpu-cuvs"),
    ],
)
def test_what_is_missing_is_said_in_two_lines(
    lacks: str, kind: str, message: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = FakeFaiss(gpus=0 if lacks == "gpu" else 1)
    if lacks != "gpu":
        delattr(library, lacks)
    monkeypatch.setattr("indexes.gpu.faiss", library)
    found_device.cache_clear()
    with pytest.raises(BackendUnavailable, match=message) as missing:
        create_index(IndexSpec.parse(kind), DIM)
    assert package in missing.value.hint
    assert len(str(missing.value).splitlines()) == 2
    assert found_device(IndexSpec.parse(kind)) is None


def test_where_all_is_there_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexes.gpu.faiss", FakeFaiss())
    found_device.cache_clear()
    for kind in KINDS:
        require_device(IndexSpec.parse(kind))
        assert isinstance(found_device(IndexSpec.parse(kind)), FaissGpu)
    found_device.cache_clear()
