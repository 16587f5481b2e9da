"""The benchmark runs with a plain installation, and all cells of its tables are figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import Data, picture
from benchmarks.measure import Series, alternate, foreign_note, percentile
from benchmarks.model import TextSize, write_random_model
from benchmarks.settings import QUICK, Bench
from benchmarks.stopwatch import CommandFailed, Stopwatch
from benchmarks.tables import Table
from benchmarks.vit import VitSize, vit_weights, write_vit
from retrieval.encoders.registry import load_encoder
from retrieval.errors import RuntimeUnavailable

ROOT = Path(__file__).resolve().parent.parent
TINY = VitSize(image=32, patch=16, width=48, layers=2, heads=4, dim=24)
TINY_TEXT = TextSize(width=32, layers=2, heads=4)

# Loaded first by the interpreter itself: whatever tries to import torch in the benchmark fails there.
NO_TORCH = "import sys; sys.modules['torch'] = sys.modules['onnx'] = sys.modules['open_clip'] = None\n"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Standard output of a quick run of all parts, without torch and the onnx package."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "sitecustomize.py").write_text(NO_TORCH)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "PHOTOSEEK_MODELS": str(folder / "none"),
        "OMP_NUM_THREADS": "2",
    }
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--data", str(folder / "data")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def table(printed: str, title: str) -> dict[str, list[str]]:
    """First column -> other columns of the table below a heading."""
    section = next(part for part in printed.split("\n## ") if part.startswith(title))
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


def value(cell: str) -> float:
    """The median of ``median (min–max)``; the three have to be in order."""
    found = re.fullmatch(r"([\d,.]+)(?: \(([\d,.]+)–([\d,.]+)\))?", cell)
    assert found, cell
    middle, low, high = (float((part or found[1]).replace(",", "")) for part in found.groups())
    assert low <= middle <= high
    return middle


_ROUNDED = 0.051
"""Half of the last decimal of a rate, and a little."""


def test_stages_have_rates_a_bound_and_a_ratio_to_it(printed: str) -> None:
    for title in ("Indexing, 500 px", "Indexing, 12 megapixels"):
        rows = table(printed, title)
        rates = {name: value(cells[0]) for name, cells in rows.items()}
        assert set(rates) >= {"walk", "read + hash", "decode", "encode", "commit", "end to end"}
        assert min(rates.values()) > 0
        bound = next(name for name in rates if name.startswith("bound"))
        # Printed with one decimal, which is coarse for the low rates of a busy machine.
        low, high = (
            1 / (1 / (rates["decode"] + off) + 1 / (rates["encode"] + off)) + off for off in (-_ROUNDED, _ROUNDED)
        )
        assert low <= rates[bound] <= high
        share = value(rows[bound][1])
        assert share >= (rates["end to end"] - _ROUNDED) / (rates[bound] + _ROUNDED) - 0.001
        assert share <= (rates["end to end"] + _ROUNDED) / max(rates[bound] - _ROUNDED, 0.01) + 0.001


def test_no_change_run_is_set_beside_the_bare_walk(printed: str) -> None:
    rows = table(printed, "No-change run")
    assert len(rows) == 4
    assert all(value(cells[1]) > 0 and value(cells[2]) > 0 for cells in rows.values())


def test_cold_queries_are_whole_processes(printed: str) -> None:
    rows = table(printed, "Cold query")
    bare = value(rows["python -c pass"][2])
    search = next(cells for name, cells in rows.items() if name.startswith("search, builtin-224"))
    assert value(search[2]) > 2 * bare  # peak memory: numpy and the text tower are in this process
    assert value(search[3]) > 1
    assert value(next(iter(table(printed, "Warm query").values()))[0]) < value(search[0])


def test_memory_and_encoder_tables_have_numbers(printed: str) -> None:
    peaks = [value(cells[0]) for cells in table(printed, "Memory").values()]
    assert len(peaks) == 3
    assert min(peaks) > 50
    assert value(table(printed, "Image tower")["float32"][1]) == 1.0


def test_vector_table_measures_recall(printed: str) -> None:
    rows = table(printed, "Vector search, 1,000 x 512")
    assert {name.partition(",")[0] for name in rows} == {"image-like", "text-like"}
    assert len(rows) == 5
    assert all(value(cells[2]) == 1.0 for cells in rows.values())  # so few vectors are searched exactly


def test_wrong_use_is_told() -> None:
    command = [sys.executable, "-m", "benchmarks.run", "--only", "nothing"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "unknown part nothing" in done.stderr


def test_without_a_gpu_its_part_says_so(tmp_path: Path) -> None:
    """Torch is hidden, so that this holds on a machine with a GPU too; nothing is generated before it is found out."""
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "benchmarks.run", "--only", "gpu", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == RuntimeUnavailable.exit_code
    assert done.stderr.splitlines() == [
        "the GPU benchmark was not run: torch is not installed",
        "run it on a machine with an NVIDIA GPU and photoseek[gpu]",
    ]
    assert not (tmp_path / "data").exists()


@pytest.mark.torch
def test_gpu_tables_bound_the_run_by_the_slower_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code on the CPU device of torch, and with a compiler that compiles nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pytest.importorskip("open_clip")
    from benchmarks.gpu import device_tables
    from retrieval.encoders.torch import encoder as torch_encoder
    from retrieval.encoders.torch.clip import load_clip_encoder
    from retrieval.pictures.device_images import DeviceDecoder
    from tests.retrieval.encoders.tiny_clip import write_model

    monkeypatch.setattr(torch_encoder, "_COMPILER", "eager")
    name = f"local-dir:{write_model(tmp_path / 'model', 'clip')}"
    fast, full = (load_clip_encoder(name, device="cpu", precision=precision) for precision in ("bf16", "fp32"))
    compiled = load_clip_encoder(name, device="cpu", precision="bf16", compiled=True)
    decoder = DeviceDecoder(fast.spec.preprocessing, "cpu")
    with Stopwatch() as stopwatch:
        bench = Bench(Data(tmp_path / "data"), name, None, QUICK, 1, stopwatch)
        tables = {table.title: table for table in device_tables(bench, fast, full, compiled, decoder)}
    table = tables["Indexing on the device, 500 px"]
    rows = {row[0]: row[1:] for row in table.rows}
    rates = {stage: value(cells[0]) for stage, cells in rows.items()}
    decode = next(rate for stage, rate in reversed(rates.items()) if stage.endswith("workers"))
    assert rates["bound: min(decode, encode)"] == min(decode, rates["encode, overlapped"]) > 0
    assert rates["bound with --gpu-decode"] == min(rates["decode on the device"], rates["encode, overlapped"]) > 0
    whole = {stage for stage in rates if stage.startswith("end to end")}
    assert whole == {"end to end", *(f"end to end, {how}" for how in ("--compile", "--gpu-decode", "both"))}
    assert any("decoded on the CPU: 12 the model's pictures are too small" in note for note in table.notes)
    assert value(tables["Image tower on the device"].rows[-1][2]) > 0
    assert float(tables["Fidelity on the device, against float32 there"].rows[0][2]) > 0.99


def test_gpu_indexes_stand_beside_the_cpus(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    from benchmarks.gpu_index import KINDS, index_tables
    from tests.indexes.stand_in import cpu_for_gpu

    with Stopwatch() as stopwatch:
        bench = Bench(Data(tmp_path / "data"), "builtin-224", None, QUICK, 1, stopwatch)
        with cpu_for_gpu() as device:
            (table,) = index_tables(bench)
        (without,) = index_tables(bench)
    assert {row[0] for row in table.rows} == {"Exact", *KINDS}
    assert len(device.made) == len(KINDS)
    recalls = {(row[0], row[1]): float(row[4]) for row in table.rows if row[4]}
    assert {run for _, run in recalls} >= {"image-like", "text-like", "text-like, a filter keeps 10%"}
    assert min(recalls.values()) > 0.9
    assert {row[0] for row in without.rows} >= {"Exact"}
    import faiss

    if not hasattr(faiss, "StandardGpuResources"):
        assert sum("needs a GPU" in note for note in without.notes) == len(KINDS)


def test_alternating_rounds_keep_order_and_drop_the_warm_up() -> None:
    calls: list[str] = []

    def case(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    measured = alternate({"a": lambda: case("a"), "b": lambda: case("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert (measured["a"].values, measured["b"].values) == ([3.0, 5.0], [4.0, 6.0])
    assert len(measured.foreign) == 2


def test_series_and_percentiles() -> None:
    series = Series([3.0, 1.0, 2.0])
    assert series.shown(1) == "2.0 (1.0–3.0)"
    assert series.over(Series([1.0, 2.0, 4.0])).values == [3.0, 0.5, 0.5]
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile([5.0], 0.5) == 5.0
    assert "12%" in foreign_note([0.12, None])


def test_tables_are_markdown() -> None:
    text = Table("Title", ("what", "n"), [("one", "1"), ("more", "1,000")], ["note"]).to_markdown()
    assert text.splitlines() == [
        "## Title",
        "",
        "| what |     n |",
        "| ---- | ----: |",
        "| one  |     1 |",
        "| more | 1,000 |",
        "",
        "* note",
    ]


def test_stopwatch_counts_the_command_and_not_this_process() -> None:
    ballast = bytearray(300 << 20)
    ballast[:: 1 << 12] = b"x" * len(ballast[:: 1 << 12])
    with Stopwatch() as stopwatch:
        before = Stopwatch.spent
        small = stopwatch.run([sys.executable, "-c", "pass"])
        large = stopwatch.run([sys.executable, "-c", "b'x' * (200 << 20); sum(range(3_000_000))"])
        assert small.peak < 100 << 20 < 200 << 20 < large.peak
        assert large.cpu > small.cpu
        assert Stopwatch.spent == pytest.approx(before + small.cpu + large.cpu)
        with pytest.raises(CommandFailed, match="because"):
            stopwatch.run([sys.executable, "-c", "raise SystemExit('because')"])
        assert stopwatch.run([sys.executable, "-c", "raise SystemExit(3)"], accepted=[3]).wall > 0
    assert len(ballast) == 300 << 20


def test_test_data_is_reproducible_and_never_half_made(tmp_path: Path) -> None:
    assert np.array_equal(np.asarray(picture(7, "thumbnail")), np.asarray(picture(7, "thumbnail")))
    assert not np.array_equal(np.asarray(picture(7, "thumbnail")), np.asarray(picture(8, "thumbnail")))
    data = Data(tmp_path)

    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        data.made("thing", broken)
    assert not (tmp_path / "thing").exists()
    assert list(data.made("thing", lambda folder: (folder / "whole").touch()).iterdir()) == [tmp_path / "thing/whole"]
    assert len(list(data.pictures("thumbnail", 3).iterdir())) == 3
    assert len(list(data.tree(1001).rglob("*.jpg"))) == 1001


def test_random_model_is_one_that_photoseek_loads(tmp_path: Path) -> None:
    write_random_model(tmp_path, TINY, TINY_TEXT)
    encoder = load_encoder(str(tmp_path), precision="fp32", threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    together = encoder.encode_images(pixels)
    assert together.shape == (3, TINY.dim)
    assert together == pytest.approx(np.concatenate([encoder.encode_images(one[None]) for one in pixels]), abs=1e-5)
    texts = encoder.encode_texts(["a red bird", "two dogs on a beach"])
    assert abs(float(texts[0] @ texts[1])) < 0.999


@pytest.mark.torch
def test_random_image_tower_computes_what_open_clip_computes(tmp_path: Path) -> None:
    torch, transformer = pytest.importorskip("torch"), pytest.importorskip("open_clip.transformer")
    openvino = pytest.importorskip("openvino")
    weights = vit_weights(np.random.default_rng(3), TINY)
    write_vit(tmp_path / "image.onnx", TINY, weights)
    tower = transformer.VisionTransformer(
        TINY.image, TINY.patch, TINY.width, TINY.layers, TINY.heads, 4.0, output_dim=24
    )
    tower.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    pixels = np.random.default_rng(4).standard_normal((3, 3, TINY.image, TINY.image), np.float32)
    with torch.no_grad():
        expected = tower.eval()(torch.from_numpy(pixels)).numpy()
    model = openvino.Core().compile_model(tmp_path / "image.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert model([pixels])[0] == pytest.approx(expected, abs=2e-5)
