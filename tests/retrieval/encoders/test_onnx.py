from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.base import Pixels, Preprocessing
from retrieval.encoders.files.description import (
    DESCRIPTION,
    EncoderFolder,
    ImageTower,
    TextTower,
    TokenizerSpec,
    read_encoder_folder,
    write_encoder_description,
)
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.onnx.encoder import OnnxEncoder, available_cpus, shared_core
from retrieval.errors import EncoderError, SettingsError, TextNotSupported, WeightsUnavailable
from retrieval.pictures.images import read_picture
from tests.conftest import EXAMPLES

pytest.importorskip("openvino")

SIDE, DIM = 224, 384

# The first five numbers of two embeddings in float32, the text by torch and the picture by ONNX Runtime: other
# weights, another order of channels, another normalisation or another tokenizer would change them.
DOG = [-0.42204, -0.020198, -0.165486, 0.304974, -0.062465]
PICTURE = [-0.112936, 0.057399, 0.031447, -0.009418, 0.055034]


def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth picture whose three channels differ."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    channels = [128 + 90 * np.sin(x / 31), 128 + 90 * np.cos(y / 25), (x + y) % 256]
    return np.stack(channels)[None].astype(np.uint8)


def pictures(seed: int, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Blotches of colour of many sizes."""
    rng = np.random.default_rng(seed)
    out = np.empty((count, 3, SIDE, SIDE), np.uint8)
    for i in range(count):
        cells = 1 << rng.integers(0, 5)
        out[i] = np.kron(rng.integers(0, 256, (3, cells, cells)), np.ones((SIDE // cells, SIDE // cells)))
    return out


def animals(encoder: OnnxEncoder) -> Pixels:
    """The example pictures of animals, as they reach the tower."""
    files = sorted((EXAMPLES / "animals").iterdir())
    return np.stack([read_picture(file.read_bytes(), encoder.spec.preprocessing).pixels for file in files])


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder(read_encoder_folder(BUILTIN_FOLDER), "fp32", threads=2)


def test_pinned_text_embedding(encoder: OnnxEncoder) -> None:
    vector = encoder.encode_texts(["a dog"])
    assert vector.shape == (1, DIM)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector[0, :5], DOG, atol=2e-6)
    assert np.linalg.norm(vector[0]) == pytest.approx(1, abs=1e-6)


def test_many_pictures_go_through_the_graph_in_parts(encoder: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """4,200 at once would take 22 GB."""
    tower, sizes = encoder._image, []
    run = tower.run
    monkeypatch.setattr(tower, "run", lambda batch: (sizes.append(len(batch)), run(batch))[1])
    many = pictures(3, 40)
    whole = encoder.encode_images(many)
    assert sizes == [32, 8]
    np.testing.assert_allclose(whole[30:34], encoder.encode_images(many[30:34]), atol=1e-5)
    assert encoder.encode_images(many[:0]).shape == (0, DIM)


def test_pinned_image_embedding(encoder: OnnxEncoder) -> None:
    vector = encoder.encode_images(picture())
    assert vector.shape == (1, DIM)
    np.testing.assert_allclose(vector[0, :5], PICTURE, atol=2e-5)


def test_words_of_like_meaning_are_near(encoder: OnnxEncoder) -> None:
    dog, puppy, plane, car, automobile = encoder.encode_texts(
        ["a dog", "a puppy", "an airplane", "a car", "an automobile"]
    )
    assert dog @ puppy > dog @ plane + 0.2
    assert car @ automobile > car @ dog + 0.2


def test_normalising_inside_the_graph_equals_numpy(encoder: OnnxEncoder) -> None:
    """The same graph, fed with float32 pixels that numpy scaled and normalised."""
    pixels, pre = pictures(1, 9), encoder.spec.preprocessing
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (pre.mean, pre.std))
    plain = shared_core().compile_model(BUILTIN_FOLDER / "image.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    wanted = plain([(pixels.astype(np.float32) / 255 - mean) / std])[0]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.abs(encoder.encode_images(pixels) - wanted).max() <= 1e-5


def test_bf16_ranks_pictures_like_fp32(encoder: OnnxEncoder) -> None:
    half = OnnxEncoder(encoder.folder, "auto", threads=1)
    if "bf16" not in half.device:
        pytest.skip("this CPU does not support bf16")
    pixels = animals(encoder)
    full, fast = encoder.encode_images(pixels), half.encode_images(pixels)
    assert (full * fast).sum(1).min() > 0.98 and np.median((full * fast).sum(1)) > 0.998
    assert 0 < np.abs(full - fast).max() < 0.05
    best, found = (np.argsort(-(each @ each.T), axis=1)[:, 1] for each in (full, fast))
    assert (best == found).mean() > 0.9


def test_batches_do_not_matter(encoder: OnnxEncoder) -> None:
    pixels = pictures(3, 7)
    together = encoder.encode_images(pixels)
    alone = np.concatenate([encoder.encode_images(pixels[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.encode_images(pixels[:0]).shape == (0, DIM)
    assert encoder.encode_texts([]).shape == (0, DIM)


def test_strided_pixels_are_read_right(encoder: OnnxEncoder) -> None:
    rows_last = np.ascontiguousarray(pictures(4, 2).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(
        encoder.encode_images(rows_last.transpose(0, 3, 1, 2)), encoder.encode_images(pictures(4, 2))
    )


def test_several_threads_wake_one_encoder_and_agree() -> None:
    shared = OnnxEncoder(read_encoder_folder(BUILTIN_FOLDER), "fp32", threads=2)
    batches = [pictures(seed, 5) for seed in range(12)]
    wanted = [shared.encode_images(batch) for batch in batches]
    fresh = OnnxEncoder(shared.folder, "fp32", threads=2)
    found: dict[int, Any] = {}
    gate = threading.Barrier(4)

    def work(first: int) -> None:
        gate.wait()
        for at in range(first, len(batches), 4):
            found[at] = fresh.encode_images(batches[at])
            fresh.encode_texts([f"number {at}"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(batches)
    for at, batch in enumerate(wanted):
        np.testing.assert_allclose(found[at], batch, atol=1e-6)


def test_ctrl_c_arrives_after_encoders_have_gone() -> None:
    """OpenVINO puts another signal stack into the thread that makes its core; it must not be unmapped later."""
    code = (
        "import signal, numpy as np\n"
        "from retrieval.encoders.registry import load_encoder\n"
        "encoders = [load_encoder('builtin-224', precision='fp32', threads=1) for _ in range(3)]\n"
        "for encoder in encoders: encoder.encode_images(np.zeros((1, 3, 224, 224), np.uint8))\n"
        "del encoder\n"
        "while encoders: del encoders[0]\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    print('heard')"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_is_cut(encoder: OnnxEncoder) -> None:
    assert not encoder.is_cut("dog " * 30)
    assert encoder.is_cut("dog " * 31)


def test_what_it_says_about_itself(encoder: OnnxEncoder) -> None:
    assert encoder.device == "cpu (OpenVINO, fp32)"
    assert (encoder.streams, encoder.batch_size) == (2, 8)
    assert OnnxEncoder(encoder.folder).streams == available_cpus() >= 1


def test_wrong_use(encoder: OnnxEncoder) -> None:
    with pytest.raises(EncoderError, match=r"takes \(n, 3, 224, 224\) uint8"):
        encoder.encode_images(pictures(0, 1)[:, :, :32])
    with pytest.raises(EncoderError, match="float32"):
        encoder.encode_images(pictures(0, 1).astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(SettingsError):
        OnnxEncoder(encoder.folder, threads=0)
    with pytest.raises(SettingsError, match="fp16"):
        OnnxEncoder(encoder.folder, "fp16")


def describe(folder: Path, **changes: Any) -> EncoderFolder:
    settings: dict[str, Any] = {
        "name": "made",
        "family": "clip",
        "source": "a test",
        "dim": 3,
        "preprocessing": Preprocessing(8, mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 1.0)),
        "image": ImageTower("image.onnx", "pixels", "embedding"),
        "text": None,
        "licence": "MIT",
    }
    return write_encoder_description(folder, **(settings | changes))


def save_graph(path: Path, kind: str, nodes: Callable[[Any], list[Any]], shape: list[Any], out: list[Any]) -> None:
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    table = helper.make_tensor("table", types.FLOAT, [10, 3], np.arange(30, dtype=np.float32) + 1)
    axes = helper.make_tensor("axes", types.INT64, [2], [2, 3])
    name, element, constant = ("pixels", types.FLOAT, axes) if kind == "image" else ("ids", types.INT32, table)
    into = helper.make_tensor_value_info(name, element, shape)
    result = helper.make_tensor_value_info("embedding", types.FLOAT, out)
    graph = helper.make_graph(nodes(helper), "made", [into], [result], [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def mean_colour(helper: Any) -> list[Any]:
    return [helper.make_node("ReduceMean", ["pixels", "axes"], ["embedding"], keepdims=0)]


def frozen_mean_colour(helper: Any) -> list[Any]:
    """A graph as tracing with one image makes it: the batch size is a constant inside."""
    mean = helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0)
    shape = helper.make_node("Constant", [], ["shape"], value_ints=[1, 3])
    return [mean, shape, helper.make_node("Reshape", ["mean", "shape"], ["embedding"])]


@pytest.mark.parametrize(("nodes", "batch"), [(mean_colour, "n"), (mean_colour, 1), (frozen_mean_colour, 1)])
def test_graphs_of_free_and_of_fixed_batch(tmp_path: Path, nodes: Callable[[Any], list[Any]], batch: Any) -> None:
    save_graph(tmp_path / "image.onnx", "image", nodes, [batch, 3, 8, 8], [batch, 3])
    made = OnnxEncoder(describe(tmp_path), "fp32", threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    wanted = (pixels.mean((2, 3)) / 255 - [0.5, 0.25, 0]) / [0.5, 0.5, 1]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(made.encode_images(pixels), wanted, atol=1e-5)


def test_text_graph_gets_rows_as_the_tokenizer_makes_them(tmp_path: Path) -> None:
    """The graph sums a table over the ids, so padding that is not the tokenizer's would show."""

    def summed(helper: Any) -> list[Any]:
        gather = helper.make_node("Gather", ["table", "ids"], ["rows"])
        axis = helper.make_node("Constant", [], ["axis"], value_ints=[1])
        return [gather, axis, helper.make_node("ReduceSum", ["rows", "axis"], ["embedding"], keepdims=0)]

    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.models.WordLevel({"<unk>": 0, "a": 1, "b": 2, "c": 9}, unk_token="<unk>")
    library = tokenizers.Tokenizer(words)
    library.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    library.save(str(tmp_path / "tokenizer.json"))
    save_graph(tmp_path / "text.onnx", "text", summed, ["n", "l"], ["n", 3])
    save_graph(tmp_path / "image.onnx", "image", mean_colour, ["n", 3, 8, 8], ["n", 3])
    spec = TokenizerSpec("tokenizers", "tokenizer.json", clean="canonicalize")
    text = TextTower("text.onnx", "onnx", spec, 5, ids_dtype="int32")
    made = OnnxEncoder(describe(tmp_path, text=text), threads=1)
    table = np.arange(30, dtype=np.float32).reshape(10, 3) + 1
    texts = ["a", "a b", "c", "a b c a b c", "B, a!"]
    ids = [[1], [1, 2], [9], [1, 2, 9, 1, 2], [2, 1]]
    wanted = np.stack([table[row].sum(0) for row in ids])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(made.encode_texts(texts), wanted, atol=1e-6)
    assert [made.is_cut(each) for each in texts] == [False, False, False, True, False]


def test_an_image_only_model_says_so(tmp_path: Path) -> None:
    shutil.copy(BUILTIN_FOLDER / "image.onnx", tmp_path)
    made = OnnxEncoder(describe(tmp_path, dim=DIM, preprocessing=Preprocessing(SIDE)))
    for use in (lambda: made.encode_texts(["a dog"]), lambda: made.is_cut("a dog")):
        with pytest.raises(TextNotSupported, match="pictures only"):
            use()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"dim": 255}, "384 numbers"),
        ({"image": ImageTower("image.onnx", "picture", "embedding")}, "cannot be used"),
        ({"image": ImageTower("image.onnx", "pixels", "logits")}, "cannot be used"),
        ({"preprocessing": Preprocessing(32)}, "cannot be used|failed"),
    ],
)
def test_a_description_that_does_not_fit_the_graph(tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    shutil.copy(BUILTIN_FOLDER / "image.onnx", tmp_path)
    folder = describe(tmp_path, **({"dim": DIM, "preprocessing": Preprocessing(SIDE)} | changes))
    side = folder.spec.preprocessing.size
    with pytest.raises(EncoderError, match=word):
        OnnxEncoder(folder, "fp32").encode_images(np.zeros((1, 3, side, side), np.uint8))


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "image.onnx").write_bytes(b"nothing like a graph")
    with pytest.raises(WeightsUnavailable, match="damaged or no ONNX graph"):
        OnnxEncoder(describe(tmp_path), "fp32").encode_images(np.zeros((1, 3, 8, 8), np.uint8))


def test_text_weights_of_another_width(tmp_path: Path) -> None:
    shutil.copytree(BUILTIN_FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / DESCRIPTION).write_text(
        (tmp_path / DESCRIPTION).read_text("utf-8").replace('"dim": 384', '"dim": 128'), "utf-8"
    )
    with pytest.raises(WeightsUnavailable, match="384 numbers"):
        OnnxEncoder(read_encoder_folder(tmp_path)).encode_texts(["a dog"])


def test_a_graph_that_gives_nan_is_stopped(tmp_path: Path) -> None:
    def nan(helper: Any) -> list[Any]:
        zero = helper.make_node("Sub", ["pixels", "pixels"], ["zero"])
        mean = helper.make_node("ReduceMean", ["zero", "axes"], ["mean"], keepdims=0)
        return [zero, mean, helper.make_node("Div", ["mean", "mean"], ["embedding"])]

    save_graph(tmp_path / "image.onnx", "image", nan, ["n", 3, 8, 8], ["n", 3])
    with pytest.raises(EncoderError, match="non-finite"):
        OnnxEncoder(describe(tmp_path), "fp32", threads=1).encode_images(np.ones((1, 3, 8, 8), np.uint8))
