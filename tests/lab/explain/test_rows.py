"""The statements of the account of vision transformers about explaining a model, one test for each."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.registry import load_encoder
from retrieval.lab.explain.cells import cut, join
from retrieval.lab.explain.check import quiz
from retrieval.lab.explain.cost import attention_flops, encoder_flops, image_parts, patch_costs, size_costs, total
from retrieval.lab.explain.families import open_clip_shape, timm_shape
from retrieval.lab.explain.recipes import masked_patches
from retrieval.lab.explain.shape import VisionShape
from retrieval.lab.explain.show import check_answers
from retrieval.pictures.picture_file import read_pixels

DOG = Path(__file__).parents[3] / "examples" / "photos" / "animals" / "dog.jpg"


def vit(patch: int, size: str = "base") -> VisionShape:
    shape = timm_shape(f"vit_{size}_patch{patch}_224")
    assert shape is not None
    return shape


@pytest.mark.parametrize(("size", "patch", "tokens"), [
    ("base", 16, 197), ("base", 32, 50), ("base", 8, 785), ("large", 14, 257), ("huge", 14, 257),
])  # fmt: skip
def test_row_01_patches_and_tokens(size: str, patch: int, tokens: int) -> None:
    shape = vit(patch, size)
    assert shape.patches == (224 // patch) ** 2
    assert shape.tokens == shape.patches + 1 == tokens


def test_row_02_patch_projection() -> None:
    timm_, clip = vit(16), open_clip_shape("ViT-B-16")
    assert clip is not None
    for shape in (timm_, clip.image):
        assert shape.patch_weights == 16 * 16 * 3 * 768 == 589_824
    embedding = {name: image_parts(shape)[0].parameters for name, shape in (("timm", timm_), ("clip", clip.image))}
    assert embedding == {"timm": 589_824 + 768, "clip": 589_824}  # open_clip's conv1 has no bias


@pytest.mark.torch
def test_row_02_the_libraries_agree() -> None:
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    open_clip = pytest.importorskip("open_clip")
    with torch.device("meta"):
        timm_, clip = timm.create_model("vit_base_patch16_224"), open_clip.create_model("ViT-B-16", device="meta")
    assert timm_.patch_embed.proj.weight.numel() == clip.visual.conv1.weight.numel() == 589_824
    assert timm_.patch_embed.proj.bias.numel() == 768 and clip.visual.conv1.bias is None


def test_row_06_patches_of_8_against_16() -> None:
    (cost,) = patch_costs(vit(16), (8,))
    assert cost.tokens == 785
    assert cost.over_patches == 16.0
    assert round(cost.attention, 2) == 15.88
    # Only what is between tokens grows with their square; the rest of the encoder grows with their number.
    assert round(cost.encoder, 2) == 4.47 and round(cost.tower, 2) == 4.45
    assert cost.attention == attention_flops(785, 768, 12) / attention_flops(197, 768, 12)
    assert round(encoder_flops(vit(16)) / 2e9, 1) == 17.4 and round(encoder_flops(vit(8)) / 2e9, 1) == 78.0


def test_row_07_patches_of_32_against_16() -> None:
    (cost,) = patch_costs(vit(32), (16,))
    assert cost.over_patches == 16.0
    assert round(cost.attention, 2) == 15.52
    assert round(cost.encoder, 2) == 4.06 and round(cost.tower, 2) == 3.98
    assert round(encoder_flops(vit(32)) / 2e9, 2) == 4.29 and round(encoder_flops(vit(16)) / 2e9, 2) == 17.45


def test_row_14_masking_leaves_a_quarter() -> None:
    masked, visible = masked_patches(vit(16).patches)
    assert (masked, visible, visible + 1) == (147, 49, 50)
    assert masked_patches(196, 0.5) == (98, 98)


@pytest.mark.parametrize(("name", "prefix"), [
    ("vit_base_patch14_dinov2", 1), ("vit_base_patch14_reg4_dinov2", 5), ("vit_base_patch16_dinov3", 5),
])  # fmt: skip
def test_row_15_prefix_tokens(name: str, prefix: int) -> None:
    shape = timm_shape(name, 224)
    assert shape is not None
    assert shape.prefix == prefix
    assert shape.tokens == (224 // shape.patch) ** 2 + prefix


def test_row_18_resolution_against_tokens() -> None:
    """CLIP's L/14: 224 to 336 pixels is 257 to 577 tokens and 162 to 382 GFLOPs, as open_clip's profile has them."""
    clip = open_clip_shape("ViT-L-14")
    assert clip is not None
    own, other = size_costs(clip.image, (224, 336))
    assert (own.tokens, other.tokens) == (257, 577)
    assert (round(own.gflops, 1), round(other.gflops, 1)) == (162.0, 381.9)
    assert own.ratio == 1.0 and other.ratio == other.gflops / own.gflops
    assert size_costs(clip.image, (230,)) == ()  # patches do not fill it


def test_row_18_own_size_of_a_stem_is_the_identity() -> None:
    clip = open_clip_shape("MobileCLIP2-B")
    assert clip is not None
    own, double = size_costs(clip.image, (224, 448))
    assert own.gflops == total(image_parts(clip.image)).flops / 1e9
    stem = image_parts(clip.image)[0].flops
    assert double.gflops > 4 * own.gflops and stem > 0


@pytest.mark.torch
@pytest.mark.parametrize(("architecture", "prefix"), [
    ("vit_small_patch14_dinov2", 1), ("vit_small_patch14_reg4_dinov2", 5),
])  # fmt: skip
def test_row_19_dense_tokens_drop_the_prefix(architecture: str, prefix: int) -> None:
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    from retrieval.encoders.torch.timm_model import ImageTower

    model = timm.create_model(architecture, num_classes=0, img_size=56, depth=1).eval()
    shape = timm_shape(architecture, 56)
    assert shape is not None and shape.prefix == prefix
    pixels = torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = ImageTower(model, "cls").patch_tokens(pixels)
        everything = model.forward_features(pixels)
    assert tokens.shape == (1, shape.patches, 384) == (1, shape.grid**2, 384)
    assert everything.shape[1] == shape.tokens
    assert torch.equal(tokens, everything[:, prefix:])


@pytest.mark.parametrize("patch", [1, 8, 16])
def test_row_20_patches_make_the_picture_again(patch: int) -> None:
    pixels = read_pixels(load_encoder("builtin-224"), DOG)
    pieces = cut(pixels, patch)
    assert pieces.shape == ((224 // patch) ** 2, 3, patch, patch)
    assert np.array_equal(join(pieces), pixels)  # bit for bit
    assert np.array_equal(pieces[1], pixels[:, :patch, patch : 2 * patch])  # row by row


@pytest.mark.torch
def test_row_20_patches_are_what_the_projection_sees() -> None:
    """Cutting and a matrix product is the convolution with kernel and stride of a patch."""
    torch = pytest.importorskip("torch")
    pixels = read_pixels(load_encoder("builtin-224"), DOG)
    weight = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = torch.from_numpy(pixels).double()[None]
    expected = torch.nn.functional.conv2d(whole, weight, stride=8).flatten(2)[0].T
    found = torch.from_numpy(cut(pixels, 8)).double().flatten(1) @ weight.flatten(1).T
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-9)


def test_row_22_quiz() -> None:
    answers = quiz()
    assert [each for each in answers if not each.right] == []
    assert len(answers) >= 15
    out = io.StringIO()
    assert check_answers(out, as_json=True)
    asked = {each["question"]: each["computed"] for each in json.loads(out.getvalue())}
    assert asked["tokens of a ViT-B/16 at 224"] == "197"
    assert asked["parameters of the patch projection, P=16, C=3, D=768"] == "589,824"


def test_row_22_a_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from retrieval.lab.explain import cost

    monkeypatch.setattr(cost, "attention_flops", lambda tokens, width, layers: layers * 2 * tokens**2 * width)
    out = io.StringIO()
    assert not check_answers(out, as_json=False)
    assert "WRONG, expected 4.47" in out.getvalue()
