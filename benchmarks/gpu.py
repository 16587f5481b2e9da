"""Indexing on a CUDA device: the bare tower, decoding on both devices, and the whole run compared with its bound.

On a GPU the two stages use different hardware, so the bound is the slower one: min(decode, encode). No figure of
this file has been measured so far: the machines on which photoseek was measured have no GPU.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.encoder import fidelity
from benchmarks.gpu_index import index_tables
from benchmarks.measure import Series, alternate, rate, tell
from benchmarks.model import NAME
from benchmarks.settings import RANDOM, Bench
from benchmarks.stages import StageCases
from benchmarks.tables import Table
from indexes.base import Vectors
from retrieval.encoders.base import DeviceEncoder, Encoder, Pixels
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import RuntimeUnavailable
from retrieval.indexing.schedules import PIECE
from retrieval.pictures.device_images import DeviceDecoder, device_decoder

_ARCHITECTURE = "ViT-B-32-256"
_BATCHES = (1, 8, 32, 64, 128, 256)
_UNDER_WAY = 2
_PICTURES = 128


def gpu_tables(bench: Bench) -> list[Table]:
    """Tables for the first CUDA device.

    Raises:
        RuntimeUnavailable: there is none, or no torch.
    """
    _check_cuda()
    from retrieval.encoders.torch.clip import load_clip_encoder

    generated = bench.model == RANDOM or Path(bench.model).name == NAME
    model = f"local-dir:{bench.data.made('torch-model', _write_model)}" if generated else bench.model
    fast, full = (load_clip_encoder(model, device="cuda", precision=precision) for precision in ("bf16", "fp32"))
    compiled = load_clip_encoder(model, device="cuda", precision="bf16", compiled=True)
    return [*device_tables(bench, fast, full, compiled, device_decoder(fast)), *index_tables(bench)]


def device_tables(
    bench: Bench, encoder: Encoder, reference: Encoder, compiled: Encoder, decoder: DeviceDecoder
) -> list[Table]:
    """The tables for any encoder with one stream.

    Args:
        reference: the same model in float32.
        compiled: the same model as ``encoder``, its image tower through torch.compile.
        decoder: where ``encoder`` runs.
    """
    sets = bench.picture_sets()
    tables = [_tower_table(bench, encoder)]
    for title, folder in sets:
        stages = StageCases(bench.data, folder, encoder)
        tables.append(_stage_table(bench, title, stages, compiled, decoder))
    return [*tables, _parity_table(sets[0][1], bench, encoder, reference)]


def _check_cuda() -> None:
    if find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            return
        reason = f"torch {torch.__version__} sees no CUDA device"
    else:
        reason = "torch is not installed"
    raise RuntimeUnavailable(
        f"the GPU benchmark was not run: {reason}", "run it on a machine with an NVIDIA GPU and photoseek[gpu]"
    )


def _tower_table(bench: Bench, encoder: Encoder) -> Table:
    """The bare tower by batch size: one batch at a time, and with the next one started in the meantime."""
    side = encoder.spec.preprocessing.size
    sizes = sorted({size for size in (*_BATCHES, encoder.batch_size) if size <= encoder.batch_size})
    cases: dict[str, Callable[[], float]] = {}
    for size in sizes:
        tell(f"gpu: batches of {size}")
        count = max(2, 4 * encoder.batch_size // size)
        batch = np.random.default_rng(0).integers(0, 256, (size, 3, side, side), np.uint8)
        cases[f"{size}"] = rate(partial(_one_by_one, encoder, [batch] * count), count * size)
        cases[f"{size} overlapped"] = rate(partial(_overlapped, encoder, [batch] * count), count * size)
    measured = alternate(cases, bench.rounds)
    rows = []
    for size in sizes:
        alone, together = measured[f"{size}"], measured[f"{size} overlapped"]
        rows.append((f"{size}", alone.shown(), together.shown(), together.over(alone).shown(2)))
    head = ("batch size", "one at a time, images/s", "overlapped, images/s", "overlapped : one")
    copies = f"{encoder.spec.name} on {encoder.device}; copies to and from the device included."
    return Table("Image tower on the device", head, rows, [copies, measured.foreign_note()])


def _stage_table(bench: Bench, title: str, stages: StageCases, compiled: Encoder, decoder: DeviceDecoder) -> Table:
    """Decoding by worker count and on the device, encoding, and whole runs compared with the slower of both."""
    tell(f"gpu: {title}, {len(stages.readable)} pictures")
    count, cores = len(stages.readable), available_cpus()
    workers = sorted({*(1 << power for power in range(cores.bit_length())), cores})
    cases: dict[str, Callable[[], float]] = {}
    for number in workers:
        cases[f"decode, {number} workers"] = rate(partial(_decoded, stages, number), count)
    cases["decode on the device"] = rate(partial(_decoded_there, stages, decoder, cores), count)
    cases["encode, overlapped"] = rate(lambda: _overlapped(stages.encoder, stages.batches), count)
    cases["encode, --compile"] = rate(lambda: _overlapped(compiled, stages.batches), count)
    cases["end to end"] = stages.end_to_end
    cases["end to end, --compile"] = lambda: stages.end_to_end(compiled)
    cases["end to end, --gpu-decode"] = lambda: stages.end_to_end(decoder=decoder)
    cases["end to end, both"] = lambda: stages.end_to_end(compiled, decoder)
    measured = alternate(cases, bench.rounds)
    decode, encode = measured[f"decode, {cores} workers"], measured["encode, overlapped"]
    bound, there = _slower(decode, encode), _slower(measured["decode on the device"], encode)
    whole = measured["end to end"]
    rows = [(name, series.shown(), whole.over(series).shown(3)) for name, series in measured.items()]
    rows.append(("bound: min(decode, encode)", bound.shown(), whole.over(bound).shown(3)))
    rows.append(("bound with --gpu-decode", there.shown(), measured["end to end, --gpu-decode"].over(there).shown(3)))
    slower = "decoder" if decode.median < encode.median else "encoder"
    notes = [
        f"{count} pictures, batches of {stages.encoder.batch_size}; the {slower} sets the bound.",
        "The last line's share is that of the run with --gpu-decode. Both halves of its bound use the same device.",
        _left_note(stages, decoder, cores),
        stages.shares_note(),
        measured.foreign_note(),
    ]
    return Table(f"Indexing on the device, {title}", ("stage", "images/s (min–max)", "end to end : this"), rows, notes)


def _parity_table(folder: Path, bench: Bench, encoder: Encoder, reference: Encoder) -> Table:
    pixels = StageCases(bench.data, folder, encoder).batches
    found, wanted = (np.concatenate(_overlapped(each, pixels))[:_PICTURES] for each in (encoder, reference))
    row = (encoder.device, *fidelity(found, wanted))
    head = ("precision", "max difference", "lowest cosine", "same neighbours")
    return Table("Fidelity on the device, against float32 there", head, [row], [f"{len(found)} pictures."])


def _one_by_one(encoder: Encoder, batches: Iterable[Pixels]) -> list[Vectors]:
    return [encoder.encode_images(batch) for batch in batches]


def _overlapped(encoder: Encoder, batches: Iterable[Pixels]) -> list[Vectors]:
    """Encode as the pipeline does: the next batch is started before this one's result is fetched."""
    if not isinstance(encoder, DeviceEncoder):
        return _one_by_one(encoder, batches)
    results, pending = [], deque[Callable[[], Vectors]]()
    for batch in batches:
        pending.append(encoder.start_images(batch))
        if len(pending) == _UNDER_WAY:
            results.append(pending.popleft()())
    return results + [collect() for collect in pending]


def _slower(one: Series, other: Series) -> Series:
    return Series([min(pair) for pair in zip(one.values, other.values, strict=True)])


def _left_note(stages: StageCases, decoder: DeviceDecoder, workers: int) -> str:
    decoder.taken()
    _decoded_there(stages, decoder, workers)
    taken = decoder.taken()
    left = ", ".join(f"{count:,} {reason}" for reason, count in taken.left_to_cpu.items()) or "none"
    return f"Decoded on {taken.device}: {taken.pictures:,}; decoded on the CPU: {left}."


def _decoded_there(stages: StageCases, decoder: DeviceDecoder, workers: int) -> None:
    def several(at: int) -> None:
        decoder.read([path.read_bytes() for path in stages.readable[at : at + PIECE]])

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(several, range(0, len(stages.readable), PIECE)):
            pass


def _decoded(stages: StageCases, workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(stages.pixels, stages.readable):
            pass


def _write_model(folder: Path) -> None:
    """ViT-B-32-256 with random weights in open_clip's own form."""
    import torch
    from safetensors.torch import save_file

    from retrieval.encoders.torch.open_clip_model import import_open_clip

    open_clip = import_open_clip()
    torch.manual_seed(0)
    config = open_clip.get_model_config(_ARCHITECTURE)
    state = open_clip.CLIP(**config).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    preprocess |= {"interpolation": "bicubic", "resize_mode": "shortest", "mode": "RGB"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
