"""Names and rows of image-only models, without torch; compared with the records of timm and open_clip if installed."""

from __future__ import annotations

import pytest

from retrieval.encoders.names.image_models import IMAGE_MODELS, parse_image_name
from retrieval.encoders.names.known_models import (
    MODELS,
    PREFERENCE,
    canonical_name,
    is_known_image_only,
    text_not_supported,
)
from retrieval.errors import SettingsError


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("dinov2-b14", "dinov2-b14"),
        ("DINOv2-B14-reg", "dinov2-b14-reg"),
        ("dinov2-b14+cls", "dinov2-b14"),
        ("dinov2-b14@224", "dinov2-b14"),
        ("dinov2-b14+GAP", "dinov2-b14+gap"),
        ("dinov2-b14+cls+gap@518", "dinov2-b14+cls+gap@518"),
        ("mae-b16+gap=/w/a+b@1=.safetensors", "mae-b16+gap=/w/a+b@1=.safetensors"),
        ("timm:vit_base_patch16_224.mae", "timm:vit_base_patch16_224.mae"),
        ("timm:resnet18.a1_in1k+own@160", "timm:resnet18.a1_in1k@160"),
        ("resnet50+own", "resnet50"),
    ],
)
def test_names_are_taken_apart_and_put_together(given: str, canonical: str) -> None:
    form = parse_image_name(given)
    assert form is not None
    assert form.name == canonical_name(given) == canonical
    assert parse_image_name(canonical) == form
    assert is_known_image_only(given)


@pytest.mark.parametrize(
    "other",
    ["ViT-B-32/openai", "builtin-224", "local-dir:/a+b", "timm:", "dinov2", "x+gap", "", "local-dir:dinov2-b14"],
)
def test_other_names_are_not_ours(other: str) -> None:
    assert parse_image_name(other) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("dinov2-b14+max", "'max'"), ("vit-b16@big", "'big'"), ("vit-b16@0", "'0'"), ("timm:x@99999", "'99999'")],
)
def test_wrong_pooling_and_size_are_named(wrong: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_image_name(wrong)


def test_image_only_models_are_in_the_table_and_never_the_default() -> None:
    for name, model in IMAGE_MODELS.items():
        row = MODELS[name]
        assert (row.source, row.has_text, row.dim, row.licence) == ("timm", False, model.dim, model.licence)
    assert not set(PREFERENCE) & set(IMAGE_MODELS)
    assert MODELS["mae-b16"].research_only


def test_the_error_for_words_names_a_model_that_has_them() -> None:
    error = text_not_supported("dinov2-b14")
    assert "dinov2-b14" in error.message and "words" in error.message
    assert "builtin-224" in error.hint and MODELS["builtin-224"].has_text
    assert error.exit_code == 2


@pytest.mark.torch
@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_rows_equal_timms_records(name: str) -> None:
    pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    from retrieval.encoders.names.timm import find_checkpoint

    model = IMAGE_MODELS[name]
    full, record = find_checkpoint(model.checkpoint)
    assert full == model.checkpoint
    assert record["license"].casefold() == model.licence.casefold()
    assert record["hf_hub_id"] == f"timm/{full}"
    if model.family != "dinov2":
        assert record["input_size"][1] == model.size
    if model.name in ("vit-b16", "vit-h14", "dinov2-g14-reg", "mae-l16", "dinov3-s16plus", "resnet50"):
        import timm

        with torch.device("meta"):
            built = timm.create_model(full, num_classes=0)
        assert built.num_features == model.dim
        assert sum(p.numel() for p in built.parameters()) / 1e6 == pytest.approx(model.params, abs=0.06)


@pytest.mark.torch
@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row.source == "open_clip"])
def test_rows_equal_open_clips_tables(name: str) -> None:
    pytest.importorskip("open_clip")
    from retrieval.encoders.names.open_clip import find_tagged, preprocessing_from

    row, tagged = MODELS[name], find_tagged(name)
    config = tagged.model_cfg
    prepared = preprocessing_from(tagged.tag_cfg, config["vision_cfg"].get("image_size", 224), name)
    context = config["text_cfg"].get("context_length", 77)
    assert (tagged.name, config["embed_dim"], prepared.size, context) == (name, row.dim, row.size, row.context)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "resize", "mean", "context"),
    [
        ("ViT-L-14/laion2b_s32b_b82k", "shortest", 0.5, 77),
        ("ViT-B-16-SigLIP2-256/webli", "squash", 0.5, 64),
        ("PE-Core-B-16/meta", "squash", 0.5, 32),
        ("MobileCLIP2-S0/dfndr2b", "shortest", 0.0, 77),
        ("ViT-H-14-378-quickgelu/dfn5b", "squash", 0.48145466, 77),
    ],
)
def test_preprocessing_is_the_checkpoints_own(name: str, resize: str, mean: float, context: int) -> None:
    pytest.importorskip("open_clip")
    from retrieval.encoders.names.open_clip import find_tagged, preprocessing_from

    tagged = find_tagged(name)
    found = preprocessing_from(tagged.tag_cfg, tagged.model_cfg["vision_cfg"].get("image_size", 224), name)
    assert (found.resize, found.mean[0], MODELS[name].context) == (resize, mean, context)
