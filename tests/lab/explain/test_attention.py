"""Internals of models: compared with the written-out arithmetic, and ONNX with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.registry import load_encoder
from retrieval.errors import SettingsError
from retrieval.lab.explain.families import timm_shape
from retrieval.lab.explain.heat import make_heat
from retrieval.lab.explain.subject import find_subject
from retrieval.pictures.picture_file import read_pixels

DOG = Path(__file__).parents[3] / "examples" / "photos" / "animals" / "dog.jpg"


@pytest.mark.torch
def test_a_hybrid_in_onnx_form_shows_its_attention(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from retrieval.encoders.base import Preprocessing
    from retrieval.encoders.files.description import read_encoder_folder
    from retrieval.encoders.installed import BUILTIN_FOLDER
    from retrieval.encoders.onnx.encoder import OnnxEncoder
    from retrieval.lab.explain.graph import read_graph
    from retrieval.lab.explain.graph_shape import graph_shape
    from retrieval.lab.explain.onnx_maps import attentions
    from retrieval.lab.training.builtin.text_stage import tower_for
    from retrieval.lab.training.export import export_towers
    from retrieval.lab.training.towers import ImageTower, ImageTowerConfig

    merges = BUILTIN_FOLDER / "merges.bin"
    tower = ImageTower(ImageTowerConfig(64, 16, 48, 2, 3, 384, stem=(8, 16, 24, 48), blocks=(0, 1, 0, 0)))
    export_towers(
        tower, tower_for(merges), tmp_path, merges=merges, preprocessing=Preprocessing(64), name="made", licence="none",
        scale=None,
    )  # fmt: skip
    encoder = OnnxEncoder(read_encoder_folder(tmp_path))
    shape, pixels = graph_shape(read_graph(tmp_path / "image.onnx"), 64), read_pixels(encoder, DOG)
    assert shape is not None and (shape.heads, shape.tokens, shape.layers) == (3, 16, 2)
    seen = attentions(encoder, pixels)
    assert [each.shape for each in seen] == [(shape.heads, shape.tokens, shape.tokens)] * shape.layers
    assert all(np.allclose(each.sum(axis=-1), 1, atol=1e-5) for each in seen)
    found = make_heat(encoder, pixels, method="rollout", shape=shape)
    assert found is not None and found.values.shape == (shape.grid, shape.grid)
    assert found.values.sum() == pytest.approx(1, abs=1e-6) and found.values.min() > 0


@pytest.mark.torch
class TestTorch:
    @staticmethod
    def encoder(folder: Path) -> Any:
        pytest.importorskip("open_clip")
        return load_encoder(f"local-dir:{folder}")

    def test_open_clip_attention_written_out(self, tiny_models: dict[str, Path]) -> None:
        """softmax(q k^T / sqrt(d)) of the first block, head by head, by hand."""
        encoder = self.encoder(tiny_models["clip"])
        import torch

        from retrieval.lab.explain.torch_attention import attentions

        pixels = read_pixels(encoder, DOG)
        before = encoder.encode_images(pixels[None])
        seen = attentions(encoder, pixels)
        assert np.array_equal(encoder.encode_images(pixels[None]), before)  # watching changes nothing
        assert [each.shape for each in seen] == [(2, 17, 17)] * 2
        visual, prepared = encoder.model.visual, encoder.spec.preprocessing
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (prepared.mean, prepared.std))
        with torch.no_grad():
            x = visual.conv1((torch.from_numpy(pixels[None]).float() / 255 - mean) / std).flatten(2).transpose(1, 2)
            x = torch.cat([visual.class_embedding.view(1, 1, -1), x], dim=1) + visual.positional_embedding
            block = visual.transformer.resblocks[0]
            y = block.ln_1(visual.ln_pre(x))[0]
            q, k, _ = (y @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, dim=-1)
            for head in range(2):
                part = slice(32 * head, 32 * head + 32)
                expected = (q[:, part] @ k[:, part].T / 32**0.5).softmax(dim=-1)
                assert np.allclose(seen[0][head], expected.numpy(), atol=1e-5)

    def test_dense_tokens_of_open_clip_written_out(self, tiny_models: dict[str, Path]) -> None:
        """MaskCLIP: the last block with values and output projection in place of attention, each token for itself."""
        encoder = self.encoder(tiny_models["clip"])
        import torch

        from retrieval.lab.explain.torch_attention import dense_tokens

        pixels = read_pixels(encoder, DOG)
        found = dense_tokens(encoder, pixels)
        assert found.shape == (16, 32) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        visual, prepared = encoder.model.visual, encoder.spec.preprocessing
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (prepared.mean, prepared.std))
        with torch.no_grad():
            x = visual.conv1((torch.from_numpy(pixels[None]).float() / 255 - mean) / std).flatten(2).transpose(1, 2)
            x = torch.cat([visual.class_embedding.view(1, 1, -1), x], dim=1) + visual.positional_embedding
            x = visual.transformer.resblocks[0](visual.ln_pre(x))
            last = visual.transformer.resblocks[1]
            width = x.shape[-1]
            value = last.ln_1(x) @ last.attn.in_proj_weight[2 * width :].T + last.attn.in_proj_bias[2 * width :]
            x = x + value @ last.attn.out_proj.weight.T + last.attn.out_proj.bias
            x = x + last.mlp(last.ln_2(x))
            expected = torch.nn.functional.normalize(visual.ln_post(x)[0, 1:] @ visual.proj, dim=-1)
        assert np.allclose(found, expected.numpy(), atol=1e-5)

    def test_dense_tokens_of_siglip_written_out(self, tiny_models: dict[str, Path]) -> None:
        """With attention pooling over a single token, what is left of the pooling are values and perceptron."""
        encoder = self.encoder(tiny_models["siglip"])
        import torch

        from retrieval.lab.explain.torch_attention import attentions, dense_tokens

        pixels = read_pixels(encoder, DOG)
        found = dense_tokens(encoder, pixels)
        trunk, prepared = encoder.model.visual.trunk, encoder.spec.preprocessing
        blocks, prefix = len(trunk.blocks), trunk.num_prefix_tokens
        assert [each.shape[-2:] for each in attentions(encoder, pixels)][blocks:] == [(1, len(found) + prefix)]
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (prepared.mean, prepared.std))
        with torch.no_grad():
            x = trunk.patch_embed((torch.from_numpy(pixels[None]).float() / 255 - mean) / std)
            x = trunk.norm_pre(trunk.patch_drop(trunk._pos_embed(x)))
            for block in trunk.blocks[:-1]:
                x = block(x)
            last, width = trunk.blocks[-1], x.shape[-1]
            value = last.norm1(x) @ last.attn.qkv.weight[2 * width :].T + last.attn.qkv.bias[2 * width :]
            x = x + last.ls1(last.attn.proj(last.attn.norm(value)))
            x = trunk.norm(x + last.ls2(last.mlp(last.norm2(x))))
            pool = trunk.attn_pool
            y = pool.proj(pool.kv(x)[..., width:])
            y = y + pool.mlp(pool.norm(y))
            expected = torch.nn.functional.normalize(trunk.head(trunk.fc_norm(y))[0, prefix:], dim=-1)
        assert np.allclose(found, expected.numpy(), atol=1e-5)

    def test_one_patch_tower_is_its_own_token(self, tiny_models: dict[str, Path]) -> None:
        """The heat map's numbers are cosines with the very text embedding that searches use."""
        encoder = self.encoder(tiny_models["clip"])
        pixels = read_pixels(encoder, DOG)
        found = make_heat(encoder, pixels, text="a red bird")
        assert found is not None and found.method == "dense" and found.values.shape == (4, 4)
        from retrieval.lab.explain.torch_attention import dense_tokens

        text = encoder.encode_texts(["a red bird"])[0]
        assert np.allclose(found.values.ravel(), dense_tokens(encoder, pixels) @ text, atol=1e-6)
        assert found.score == pytest.approx(float(encoder.encode_images(pixels[None])[0] @ text), abs=1e-6)

    def test_without_a_text_attention_is_rolled_out(self, tiny_models: dict[str, Path]) -> None:
        for kind in ("clip", "siglip"):
            subject = find_subject(f"local-dir:{tiny_models[kind]}")
            assert subject.encoder is not None
            pixels = read_pixels(subject.encoder, DOG)
            shape = subject.anatomy.shape
            if shape is None:  # a test architecture of timm, which no name describes
                with pytest.raises(SettingsError, match="occlusion"):
                    make_heat(subject.encoder, pixels)
                continue
            found = make_heat(subject.encoder, pixels, shape=shape.image)
            assert found is not None and found.method == "rollout" and found.values.shape == (4, 4)

    def test_exported_and_torch_show_the_same(self, tiny_models: dict[str, Path], tmp_path: Path) -> None:
        pytest.importorskip("onnx")
        encoder = self.encoder(tiny_models["clip"])
        from retrieval.encoders.install.export import export_onnx
        from retrieval.lab.explain import onnx_maps, torch_attention

        made = export_onnx(encoder, tmp_path)
        exported: Any = load_encoder(str(made.folder))
        pixels = read_pixels(encoder, DOG)
        ours, theirs = onnx_maps.attentions(exported, pixels), torch_attention.attentions(encoder, pixels)
        assert len(ours) == len(theirs) == 2
        for one, other in zip(ours, theirs, strict=True):
            assert np.allclose(one.reshape(other.shape), other, atol=1e-5)

    @pytest.mark.parametrize("architecture", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"])
    def test_timms_towers_show_their_attention(self, architecture: str) -> None:
        torch = pytest.importorskip("torch")
        timm = pytest.importorskip("timm")
        from retrieval.lab.explain.torch_attention import _Watch

        model = timm.create_model(architecture, num_classes=0, img_size=112, depth=2).eval()
        shape = timm_shape(architecture, 112)
        assert shape is not None
        with torch.no_grad(), _Watch() as watched:
            model(torch.rand(1, 3, 112, 112))
        assert [each.shape for each in watched.seen] == [(shape.heads, shape.tokens, shape.tokens)] * 2
        assert all(np.allclose(each.sum(axis=-1), 1, atol=1e-5) for each in watched.seen)
