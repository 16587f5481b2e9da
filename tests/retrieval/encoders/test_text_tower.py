from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.files.description import TextTower, TokenizerSpec
from retrieval.encoders.files.weights_file import WeightsFile
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.onnx.text_tower import _ACTIVATIONS, NumpyTextTower
from retrieval.errors import WeightsUnavailable
from tests.retrieval.encoders.weight_files import random_text_tower, write_safetensors

TEXT = TextTower("t.safetensors", "clip-weights", TokenizerSpec("clip-bpe", "m", start=38, end=39), 16, heads=4)


def tower(path: Path, text: TextTower = TEXT, **sizes: int) -> NumpyTextTower:
    write_safetensors(path, random_text_tower(1, **sizes))
    return NumpyTextTower(path, text)


def rows(seed: int, count: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[38, *rng.integers(0, 38, rng.integers(0, 14)).tolist(), 39] for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("gelu", lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))),
        ("gelu_tanh", lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("quick_gelu", lambda x: x / (1 + math.exp(-1.702 * x))),
    ],
)
def test_activations_are_exact_in_float32(name: Any, exact: Any) -> None:
    x = np.concatenate([np.linspace(-9, 9, 20001), [-200.0, -50.0, 0.0, 50.0, 200.0]]).astype(np.float32)
    wanted = np.array([exact(float(v)) for v in x])
    assert np.abs(_ACTIVATIONS[name](x) - wanted).max() <= 1e-6 * max(1, 9)
    small = np.abs(x) <= 4
    assert np.abs(_ACTIVATIONS[name](x) - wanted)[small].max() <= 1e-6


def test_a_batch_of_any_lengths_equals_one_by_one(tmp_path: Path) -> None:
    made = tower(tmp_path / "t.st")
    texts = rows(2, 300)
    assert made.dim == 8
    together = made.features(texts)
    alone = np.concatenate([made.features([row]) for row in texts])
    assert together.shape == (300, 8)
    np.testing.assert_allclose(together, alone, atol=2e-5)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_padding_behind_the_end_changes_nothing_in_a_causal_tower(tmp_path: Path) -> None:
    made = tower(tmp_path / "t.st")
    np.testing.assert_array_equal(made.features([[38, 5, 6, 39]]), made.features([[38, 5, 6, 39, 0, 0, 0]]))


def test_a_tower_that_is_not_causal_sees_its_padding(tmp_path: Path) -> None:
    text = replace(TEXT, causal=False, pool="last", tokenizer=replace(TEXT.tokenizer, pad_to=6))
    made = tower(tmp_path / "t.st", text)
    first, second = made.features([[38, 5, 39, 0, 0, 0], [38, 5, 39, 1, 0, 0]])
    assert np.abs(first - second).max() > 1e-3


def test_pooling(tmp_path: Path) -> None:
    row = [38, 5, 39, 6, 7]
    at_largest = tower(tmp_path / "t.st").features([row])
    np.testing.assert_array_equal(at_largest, tower(tmp_path / "t.st").features([row[:3]]))
    by_id = replace(TEXT, pool="eos", tokenizer=replace(TEXT.tokenizer, end=6))
    np.testing.assert_array_equal(
        tower(tmp_path / "t.st", by_id).features([row]),
        tower(tmp_path / "t.st", replace(TEXT, pool="last")).features([row[:4]]),
    )


def test_half_precision_files_are_read(tmp_path: Path) -> None:
    full = random_text_tower(3)
    write_safetensors(tmp_path / "half.st", {n: t.astype(np.float16) for n, t in full.items()})
    bf16 = {n: (t.view(np.uint32) >> 16).astype(np.uint16) for n, t in full.items()}
    write_safetensors(tmp_path / "bf16.st", bf16)
    cut = {n: (t.astype(np.uint32) << 16).view(np.float32) for n, t in bf16.items()}
    write_safetensors(tmp_path / "cut.st", cut)
    write_safetensors(tmp_path / "rounded.st", {n: t.astype(np.float16).astype(np.float32) for n, t in full.items()})
    texts = rows(4, 5)
    features = {p.stem: NumpyTextTower(p, TEXT).features(texts) for p in tmp_path.glob("*.st")}
    np.testing.assert_array_equal(features["half"], features["rounded"])
    np.testing.assert_array_equal(features["bf16"], features["cut"])
    assert np.abs(features["half"] - features["cut"]).max() > 0


def test_float32_weights_are_not_copied(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "t.st", random_text_tower(1))
    tensor = WeightsFile(tmp_path / "t.st").float32("token_embedding.weight")
    assert not tensor.flags.owndata
    assert not tensor.flags.writeable


def test_unaligned_float32_weights_are_copied_once(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "t.st", random_text_tower(1))
    whole = (tmp_path / "t.st").read_bytes()
    head = int.from_bytes(whole[:8], "little")
    shifted = (head + 1).to_bytes(8, "little") + whole[8 : 8 + head] + b" " + whole[8 + head :]
    (tmp_path / "shifted.st").write_bytes(shifted)
    unaligned = WeightsFile(tmp_path / "shifted.st")
    assert not unaligned.raw("text_projection").flags.aligned
    assert unaligned.float32("text_projection").flags.aligned
    texts = rows(6, 3)
    np.testing.assert_array_equal(
        NumpyTextTower(tmp_path / "shifted.st", TEXT).features(texts),
        NumpyTextTower(tmp_path / "t.st", TEXT).features(texts),
    )


def test_threads_share_a_tower(tmp_path: Path) -> None:
    made, texts = tower(tmp_path / "t.st"), rows(5, 40)
    wanted = tower(tmp_path / "t.st").features(texts)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(made.features(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for each in found:
        np.testing.assert_array_equal(each, wanted)


@pytest.mark.parametrize("row", [[], [38, 40, 39], [38, -1, 39], [1] * 17])
def test_ids_that_the_weights_do_not_know(tmp_path: Path, row: list[int]) -> None:
    with pytest.raises(WeightsUnavailable, match="token ids"):
        tower(tmp_path / "t.st").features([row])


def test_weights_of_another_shape(tmp_path: Path) -> None:
    whole = random_text_tower(1)
    block = "transformer.resblocks.1."
    cases: list[dict[str, Any]] = [
        {block + "mlp.c_fc.bias": np.zeros(3, np.float32)},
        {block + "attn.in_proj_weight": np.zeros((16, 16), np.float32)},
        {"positional_embedding": np.zeros((15, 16), np.float32)},
        {"text_projection": np.zeros((15, 8), np.float32)},
        {"token_embedding.weight": np.zeros(16, np.float32)},
        {"positional_embedding": np.float32(1).reshape(())},
        {block + "mlp.c_fc.weight": np.float32(1).reshape(())},
    ]
    for changed in cases:
        write_safetensors(tmp_path / "t.st", whole | changed)
        with pytest.raises(WeightsUnavailable, match="has shape"):
            NumpyTextTower(tmp_path / "t.st", TEXT)
    for missing in (block + "ln_2.bias", "ln_final.weight", "positional_embedding"):
        write_safetensors(tmp_path / "t.st", {n: t for n, t in whole.items() if n != missing})
        with pytest.raises(WeightsUnavailable, match=missing.replace(".", r"\.")):
            NumpyTextTower(tmp_path / "t.st", TEXT)
    write_safetensors(tmp_path / "t.st", whole)
    with pytest.raises(WeightsUnavailable, match="heads"):
        NumpyTextTower(tmp_path / "t.st", replace(TEXT, heads=5))


def with_header(entry: dict[str, Any], data: bytes = b"\0" * 16) -> bytes:
    head = json.dumps({"x": entry}).encode()
    return len(head).to_bytes(8, "little") + head + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"\xff" * 8,
        (1 << 40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{x",
        with_header({"dtype": "F32", "shape": [4], "data_offsets": [0, 17]}),
        with_header({"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}),
        with_header({"dtype": "F32", "shape": [4], "data_offsets": [-4, 12]}),
        with_header({"dtype": "F32", "shape": [-4], "data_offsets": [0, -16]}),
        with_header({"dtype": "F32", "shape": [2.0, 2], "data_offsets": [0, 16]}),
        with_header({"dtype": "F32", "shape": [1 << 70], "data_offsets": [0, 1 << 72]}),
        with_header({"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}),
        with_header({"dtype": "F32", "shape": [4]}),
        with_header({"dtype": ["F32"], "shape": [4], "data_offsets": [0, 16]}),
    ],
)
def test_damaged_weight_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.st").write_bytes(content)
    with pytest.raises(WeightsUnavailable, match="damaged"):
        WeightsFile(tmp_path / "t.st").raw("x")


def test_truncated_built_in_weights(tmp_path: Path) -> None:
    whole = (BUILTIN_FOLDER / "text.safetensors").read_bytes()
    (tmp_path / "t.st").write_bytes(whole[:-4])
    broken = WeightsFile(tmp_path / "t.st")
    with pytest.raises(WeightsUnavailable, match="beyond the end"):
        for name in broken:
            broken.raw(name)
