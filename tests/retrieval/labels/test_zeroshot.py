"""Prompt ensembling and probabilities: the published definitions, by hand and against open_clip's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.base import EncoderSpec
from retrieval.errors import QueryError, SettingsError, TextNotSupported
from retrieval.labels import zeroshot
from retrieval.labels.zeroshot import class_vectors, find_templates, probabilities, scale_and_bias
from tests.fakes import ColourEncoder

LABELS = ["red", "green", "blue", "yellow", "red", "white"]
TEMPLATES = ("a photo of a {}.", "{}", "a red {}", "many {} things")


def plain(encoder: Any, label: str, templates: tuple[str, ...]) -> Any:
    """One label at a time, one prompt at a time: normalise, mean, normalise."""
    rows = np.concatenate([encoder.encode_texts([t.replace("{}", label)]) for t in templates]).astype(np.float64)
    mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_class_vectors_are_the_mean_of_unit_vectors_at_length_one(encoder: ColourEncoder) -> None:
    vectors = class_vectors(encoder, LABELS, TEMPLATES)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors, [plain(encoder, label, TEMPLATES) for label in LABELS], atol=1e-6)
    assert not np.allclose(vectors, class_vectors(encoder, LABELS, TEMPLATES[:1]), atol=0.01)


def test_blocks_change_nothing(encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    together = class_vectors(encoder, LABELS, TEMPLATES)
    monkeypatch.setattr(zeroshot, "_PROMPTS_AT_ONCE", 1)
    np.testing.assert_allclose(class_vectors(encoder, LABELS, TEMPLATES), together, atol=1e-6)


def test_one_template_is_the_plain_prompt(encoder: ColourEncoder) -> None:
    prompts = [f"a photo of a {label}." for label in LABELS]
    np.testing.assert_allclose(
        class_vectors(encoder, LABELS, find_templates("1")), encoder.encode_texts(prompts), atol=1e-6
    )


def test_builtin_model_tells_dogs_from_teapots() -> None:
    from retrieval.encoders.registry import load_encoder

    encoder = load_encoder("builtin-224")
    vectors = class_vectors(encoder, ["dog", "wolf", "teapot"], find_templates("80"))
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > cosines[0, 2]
    np.testing.assert_allclose(vectors[0], plain(encoder, "dog", find_templates("80")), atol=1e-5)


def test_a_label_is_never_read_as_a_format(encoder: ColourEncoder) -> None:
    odd = class_vectors(encoder, ["red {0}", "{}"], ("{0.__class__} {}",))
    np.testing.assert_allclose(odd[:1], encoder.encode_texts(["{0.__class__} red {0}"]), atol=1e-6)


def test_cut_prompts_are_told(encoder: ColourEncoder, caplog: pytest.LogCaptureFixture) -> None:
    class_vectors(encoder, ["red", "a b c d e f g h i"], ("{}", "the {}"))
    assert "2 prompts are longer than the model's 8 tokens" in caplog.text


@pytest.mark.parametrize("labels", [[], [" "], ["red", ""]])
def test_labels_have_to_say_something(encoder: ColourEncoder, labels: list[str]) -> None:
    with pytest.raises(QueryError):
        class_vectors(encoder, labels, TEMPLATES)


@pytest.mark.parametrize("templates", [(), ("a photo",)])
def test_templates_need_a_place(encoder: ColourEncoder, templates: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError):
        class_vectors(encoder, LABELS, templates)


def test_image_only_encoders_say_so() -> None:
    with pytest.raises(TextNotSupported):
        class_vectors(ColourEncoder(has_text=False), LABELS, TEMPLATES)


def test_softmax_by_hand() -> None:
    found = probabilities([[0.2, 0.1], [0.0, 0.0]], 10)
    np.testing.assert_allclose(found, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))], [0.5, 0.5]])
    assert probabilities([1.0, -1.0], 1e6).tolist() == [1, 0], "no overflow"


def test_sigmoid_by_hand() -> None:
    np.testing.assert_allclose(probabilities([1.0, 0.5], 10, -10), [0.5, 1 / (1 + np.exp(5))])
    np.testing.assert_allclose(probabilities([-1.0, 1.0], 1e6, -10.0), [0, 1], atol=1e-12)


def spec(**known: float | None) -> EncoderSpec:
    from dataclasses import replace

    return replace(ColourEncoder().spec, **known)  # type: ignore[arg-type]


def test_the_encoder_says_its_scale() -> None:
    assert scale_and_bias(spec(logit_scale=22.0)) == (22.0, None)
    assert scale_and_bias(spec(logit_scale=112.0, logit_bias=-16.5)) == (112.0, -16.5)
    assert scale_and_bias(spec()) == (100.0, None)


def test_templates_by_number_and_by_model() -> None:
    assert [len(find_templates(choice)) for choice in ("1", "7", "80")] == [1, 7, 80]
    assert set(find_templates("7")) < set(find_templates("80"))
    assert find_templates("model", spec()) == spec().prompt_templates
    assert find_templates("model") == find_templates("1")


def test_templates_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("# mine\n\na sketch of {}\n{} at night\n", encoding="utf-8")
    assert find_templates(str(file)) == ("a sketch of {}", "{} at night")


@pytest.mark.parametrize("body", [None, b"", b"no place\n", b"\xff{}", b"{}" * (1 << 20)])
def test_bad_template_files_are_refused(tmp_path: Path, body: bytes | None) -> None:
    file = tmp_path / "mine.txt"
    if body is not None:
        file.write_bytes(body)
    with pytest.raises(SettingsError):
        find_templates(str(file))


@pytest.mark.torch
def test_templates_are_those_of_open_clip() -> None:
    metadata = pytest.importorskip("open_clip.zero_shot_metadata")
    for choice, theirs in (("7", metadata.SIMPLE_IMAGENET_TEMPLATES), ("80", metadata.OPENAI_IMAGENET_TEMPLATES)):
        assert find_templates(choice) == tuple(template("{}") for template in theirs)


@pytest.mark.torch
def test_class_vectors_are_those_of_open_clip() -> None:
    """Their classifier, on our encoder's embeddings as the model."""
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("open_clip.zero_shot_classifier")
    from retrieval.encoders.registry import load_encoder

    encoder = load_encoder("builtin-224")

    class Texts(list[str]):
        def to(self, device: str) -> Texts:
            return self

    class Model:
        def encode_text(self, texts: Texts, normalize: bool = False) -> Any:
            return torch.from_numpy(encoder.encode_texts(texts))

    labels, templates = ["dog", "house cat", "missile", "teapot", "missile"], find_templates("7")
    expected = theirs.build_zero_shot_classifier(Model(), Texts, labels, templates, num_classes_per_batch=2)
    np.testing.assert_allclose(class_vectors(encoder, labels, templates), expected.T.numpy(), atol=1e-6)
    cosines = np.array([[0.3, 0.1, -0.2]])
    np.testing.assert_allclose(
        probabilities(cosines, 100.0), torch.from_numpy(100 * cosines).softmax(-1).numpy(), atol=1e-12
    )
    np.testing.assert_allclose(
        probabilities(cosines, 100.0, -10.0), torch.from_numpy(100 * cosines - 10).sigmoid().numpy(), atol=1e-12
    )
