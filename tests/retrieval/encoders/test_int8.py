"""The int8 option: its accuracy, that it is a separate encoder, and that it reports its loss of accuracy."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.onnx.encoder import OnnxEncoder, shared_core
from retrieval.encoders.onnx.int8 import COMPARED, difference_message, int8_fingerprint, round_weights
from retrieval.encoders.registry import load_encoder, load_encoder_by_fingerprint
from retrieval.errors import SettingsError
from tests.retrieval.encoders.test_onnx import animals, pictures

openvino = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def full() -> OnnxEncoder:
    return OnnxEncoder(read_encoder_folder(BUILTIN_FOLDER), "fp32", threads=2)


@pytest.fixture
def small(full: OnnxEncoder) -> OnnxEncoder:
    encoder = OnnxEncoder(full.folder, "int8", threads=2)
    try:
        assert encoder.device == "cpu (OpenVINO, int8)"
    except SettingsError:
        pytest.skip("this CPU does not support int8")
    return encoder


def test_rounded_weights_change_little_and_all_matrices_are_rounded(full: OnnxEncoder) -> None:
    """On any CPU: without scaled activations only the weights' rounding is left."""
    core, preprocessing = shared_core(), full.spec.preprocessing
    pixels = (animals(full)[:8].astype(np.float32) / 255 - preprocessing.mean[0]) / preprocessing.std[0]
    model = core.read_model(BUILTIN_FOLDER / "image.onnx")
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    wanted = core.compile_model(model, "CPU", exact)([pixels])[0]
    rounded = round_weights(model)
    kinds = [
        product.input_value(1).get_node().input_value(0).get_node().input_value(0).get_element_type()
        for product in rounded.get_ordered_ops()
        if product.get_type_name() == "MatMul" and product.input_value(1).get_node().get_type_name() == "Multiply"
        and product.input_value(1).get_node().input_value(0).get_node().get_type_name() == "Convert"
    ]  # fmt: skip
    assert len(kinds) == 7 and set(kinds) == {openvino.Type.i8}, "four of the block, three behind it, no classifier"
    found = core.compile_model(rounded, "CPU", exact)([pixels])[0]
    cosine = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
    assert cosine.min() > 0.995
    assert np.abs(found - wanted).max() > 1e-6


def test_int8_ranks_pictures_like_fp32(full: OnnxEncoder, small: OnnxEncoder) -> None:
    pixels = animals(full)
    wanted, found = full.encode_images(pixels), small.encode_images(pixels)
    assert (wanted * found).sum(1).min() > 0.99
    assert 0 < np.abs(wanted - found).max() < 0.04
    np.testing.assert_array_equal(small.encode_texts(["a dog"]), full.encode_texts(["a dog"]))


def test_it_is_an_encoder_of_its_own_that_a_gallery_finds_again(
    full: OnnxEncoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spec = load_encoder("builtin-224", precision="int8").spec
    assert spec.fingerprint == int8_fingerprint(full.spec.fingerprint) != full.spec.fingerprint
    assert (spec.name, spec.dim, spec.preprocessing) == (full.spec.name, full.spec.dim, full.spec.preprocessing)
    assert load_encoder_by_fingerprint(spec.fingerprint, spec.name).spec == spec
    assert load_encoder_by_fingerprint(spec.fingerprint, spec.name, precision="bf16").spec == spec
    assert caplog.text == ""
    monkeypatch.setenv("PHOTOSEEK_PRECISION", "int8")
    plain = load_encoder_by_fingerprint(full.spec.fingerprint, full.spec.name)
    assert plain.spec == full.spec, "a query may not be embedded in another space than the gallery's"
    load_encoder_by_fingerprint(full.spec.fingerprint, full.spec.name, precision="int8")
    assert "not in int8" in caplog.text


def test_the_first_pictures_are_compared_once(small: OnnxEncoder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    def said() -> list[str]:
        """By this thread: what another test left running may say something of its own."""
        return [record.getMessage() for record in caplog.records if record.thread == threading.get_ident()]

    pixels = pictures(5, 2 * COMPARED)
    small.encode_images(pixels[: COMPARED - 1])
    assert said() == []
    for at in range(COMPARED - 1, 2 * COMPARED, 8):
        small.encode_images(pixels[at : at + 8])
    (line,) = said()
    assert line.startswith(f"int8 against float32 on the first {COMPARED + 7} pictures: largest difference 0.0")
    assert "lowest cosine 0.999" in line or "lowest cosine 1.000" in line


def test_the_line_counts_what_it_says() -> None:
    wanted = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0].astype(np.float32)
    assert difference_message(wanted, wanted).endswith("lowest cosine 1.0000, 100% of the 5 nearest neighbours kept")
    found = wanted.copy()
    found[0] = -found[0]
    assert "lowest cosine -1.0000" in difference_message(found, wanted)


def test_a_cpu_without_int8_is_told(full: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, *_: object) -> list[str]:
            return ["FP32", "BF16"]

    encoder = OnnxEncoder(full.folder, "int8")
    monkeypatch.setitem(encoder.__dict__, "_core", Core())
    with pytest.raises(SettingsError, match="does not support int8"):
        encoder.encode_images(pictures(0, 1))
