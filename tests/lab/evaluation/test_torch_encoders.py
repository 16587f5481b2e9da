"""Evaluation with encoders on torch: with random weights, so results are at chance level, and sizes are exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.lab.evaluation.caption_task import embed_captions
from retrieval.lab.evaluation.captions_file import read_captions
from retrieval.lab.evaluation.costs import costs_of
from retrieval.lab.evaluation.embed import embed_files
from retrieval.labels.zeroshot import class_vectors, scale_and_bias
from retrieval.pictures.images import read_picture
from tests.conftest import PHOTOS

pytestmark = pytest.mark.torch
pytest.importorskip("open_clip")


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_image_text_towers(photos: Path, tmp_path: Path, kind: str) -> None:
    from retrieval.encoders.registry import load_encoder
    from tests.retrieval.encoders.tiny_clip import KINDS, new_model, write_model

    encoder = load_encoder(f"local-dir:{write_model(tmp_path / 'model', kind)}", runtime="torch", device="cpu")
    (photos / "c.tsv").write_text("\n".join(f"{name}\ta picture of {name}" for name in PHOTOS), encoding="utf-8")
    data = embed_captions(encoder, read_captions(photos / "c.tsv"))
    pixels = [read_picture((photos / name).read_bytes(), encoder.spec.preprocessing).pixels for name in PHOTOS]
    np.testing.assert_allclose(data.pictures, encoder.encode_images(np.stack(pixels)), atol=1e-5)
    assert data.texts.shape == (6, encoder.spec.dim)

    model = new_model(KINDS[kind][0], 0)
    image = sum(each.numel() for each in model.visual.parameters())
    text = sum(each.numel() for each in model.parameters()) - image
    costs = costs_of(encoder)
    assert costs.dim == encoder.spec.dim
    assert costs.image_mb == pytest.approx(4e-6 * image)
    assert costs.text_mb == pytest.approx(4e-6 * text)

    scale, bias = scale_and_bias(encoder.spec)
    assert scale == pytest.approx(np.exp(4.0))
    assert (bias is None) == (kind == "clip")
    one, both = (class_vectors(encoder, labels, ("a {}.", "{}")) for labels in (["dog"], ["cat", "dog"]))
    np.testing.assert_allclose(one[0], both[1], atol=1e-5)


def test_image_only_towers(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from retrieval.encoders.registry import load_encoder
    from tests.retrieval.encoders.tiny_timm import VIT, write_timm

    folder = write_timm(tmp_path / "model", "vit_base_patch16_224", 64, **VIT)
    encoder = load_encoder(f"timm:vit_base_patch16_224@64={folder}", runtime="torch", device="cpu")
    found = embed_files(encoder, [photos / name for name in PHOTOS])
    assert found.vectors.shape == (6, 64)
    costs = costs_of(encoder)
    assert costs.text_mb is None
    assert costs.image_mb is not None
    assert costs.image_mb > 0.2
