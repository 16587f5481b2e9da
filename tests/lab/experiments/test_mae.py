"""The masked autoencoder compared with the paper's procedure and with transformers' implementation."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from torch import nn

from retrieval.errors import SettingsError
from retrieval.lab.experiments.mae import DecoderConfig, MaskedAutoencoder, mask, patches_of, picture_of, sines
from retrieval.lab.experiments.mae_picture import Shown, colours, sheet
from retrieval.lab.training.towers import Block, ImageTower, ImageTowerConfig

pytestmark = pytest.mark.torch

CONFIG = ImageTowerConfig(size=32, patch=8, width=48, layers=2, heads=3, dim=8, pooling="cls")
DECODER = DecoderConfig(width=24, layers=2, heads=3)


def autoencoder(**changes: bool) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(ImageTower(CONFIG), DecoderConfig(**{**vars(DECODER), **changes})).eval()


def noise(count: int, patches: int) -> torch.Tensor:
    return torch.rand(count, patches, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("per_patch", [False, True])
@pytest.mark.parametrize("ratio", [0.25, 0.75])
def test_row_14_loss_and_reconstruction_equal_transformers(per_patch: bool, ratio: float) -> None:
    theirs = transformers.ViTMAEForPreTraining(
        transformers.ViTMAEConfig(
            hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=192, image_size=32,
            patch_size=8, decoder_hidden_size=24, decoder_num_hidden_layers=2, decoder_num_attention_heads=3,
            decoder_intermediate_size=96, mask_ratio=ratio, norm_pix_loss=per_patch, layer_norm_eps=1e-5,
        )
    ).eval()  # fmt: skip
    ours = autoencoder(per_patch=per_patch)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())) / 5
            )
    take_over(ours, theirs)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    drawn = noise(3, 16)
    with torch.no_grad():
        expected = theirs(images, noise=drawn)
        masking = mask(drawn, ratio)
        predicted = ours.decode(ours.encode(images, masking), masking)
        loss = ours.loss(images, masking)
    assert torch.equal(masking.hidden, expected.mask)
    assert torch.equal(masking.restore, expected.ids_restore)
    assert (predicted - expected.logits).abs().max() < 1e-5
    assert abs(loss - expected.loss) / expected.loss < 1e-6


def take_over(ours: MaskedAutoencoder, theirs: nn.Module) -> None:
    """The weights of transformers' model."""
    seen, decoder = theirs.vit, theirs.decoder
    with torch.no_grad():
        ours.tower.cls.copy_(seen.embeddings.cls_token)
        ours.tower.positions.copy_(seen.embeddings.position_embeddings)
        ours.tower.patches.project.load_state_dict(seen.embeddings.patch_embeddings.projection.state_dict())
        ours.tower.norm.load_state_dict(seen.layernorm.state_dict())
        ours.embed.load_state_dict(decoder.decoder_embed.state_dict())
        ours.mask_token.copy_(decoder.mask_token)
        ours.positions.copy_(decoder.decoder_pos_embed)
        ours.norm.load_state_dict(decoder.decoder_norm.state_dict())
        ours.predict.load_state_dict(decoder.decoder_pred.state_dict())
    encoders = zip(ours.tower.blocks, seen.layers, strict=True)
    decoders = zip(ours.blocks, decoder.decoder_layers, strict=True)
    for block, layer in [*encoders, *decoders]:
        take_over_block(block, layer)


def take_over_block(block: Block, layer: nn.Module) -> None:
    three = [layer.attention.q_proj, layer.attention.k_proj, layer.attention.v_proj]
    with torch.no_grad():
        block.attention.query_key_value.weight.copy_(torch.cat([each.weight for each in three]))
        block.attention.query_key_value.bias.copy_(torch.cat([each.bias for each in three]))
    block.attention.out.load_state_dict(layer.attention.o_proj.state_dict())
    block.norm1.load_state_dict(layer.layernorm_before.state_dict())
    block.norm2.load_state_dict(layer.layernorm_after.state_dict())
    block.perceptron[0].load_state_dict(layer.mlp.fc1.state_dict())
    block.perceptron[2].load_state_dict(layer.mlp.fc2.state_dict())


def test_row_14_three_quarters_of_196_patches_are_147() -> None:
    masking = mask(noise(2, 196), 0.75)
    assert masking.hidden.sum(1).tolist() == [147, 147]
    assert masking.visible.shape == (2, 49)
    tower = ImageTower(ImageTowerConfig(size=224, patch=16, width=24, layers=1, heads=3, dim=8, pooling="cls"))
    model = MaskedAutoencoder(tower, DECODER)
    with torch.no_grad():
        tokens = model.encode(torch.randn(2, 3, 224, 224), masking)
        assert tokens.shape == (2, 50, 24)
        assert model.decode(tokens, masking).shape == (2, 196, 768)


def test_row_14_loss_is_about_hidden_patches_and_sees_visible_ones_only() -> None:
    model, drawn = autoencoder(), noise(2, 16)
    masking = mask(drawn, 0.75)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    hidden = masking.hidden[..., None].bool()
    other = picture_of(torch.where(hidden, patches_of(images, 8) + 1.0, patches_of(images, 8)), 8)
    with torch.no_grad():
        predicted = model.decode(model.encode(images, masking), masking)
        assert torch.equal(predicted, model.decode(model.encode(other, masking), masking))
        error = (predicted - patches_of(images, 8)).square().mean(-1)
        assert model.loss(images, masking) == pytest.approx(float(error[masking.hidden.bool()].mean()), rel=1e-6)
        assert model.loss(other, masking) != model.loss(images, masking)


def test_fixed_positions_are_those_of_the_published_code() -> None:
    config = transformers.ViTMAEConfig(hidden_size=48, num_attention_heads=3, num_hidden_layers=1, image_size=32,
                                       patch_size=8, intermediate_size=96)  # fmt: skip
    embeddings = transformers.ViTMAEModel(config).embeddings
    # Version 5 takes them for loaded, and leaves zeros.
    embeddings.patch_embeddings.projection._is_hf_initialized = False
    embeddings.initialize_weights()
    assert embeddings.position_embeddings.abs().max() > 0.9
    assert (sines(48, 4) - embeddings.position_embeddings).abs().max() < 1e-6
    assert not MaskedAutoencoder(ImageTower(CONFIG), DECODER).tower.positions.requires_grad


def test_features_are_those_of_whole_pictures() -> None:
    model = autoencoder()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        nothing_hidden = model.encode(images, mask(torch.arange(16.0).expand(2, -1), 0.0))
        assert torch.allclose(model.features(images), nothing_hidden[:, 1:].mean(1), atol=1e-6)


def test_the_picture_shows_grey_where_it_was_hidden_and_predictions_there_alone() -> None:
    images = torch.randn(2, 3, 32, 32)
    masking = mask(noise(2, 16), 0.5)
    shown = Shown("half hidden", images, masking.hidden, torch.full((2, 16, 192), 0.3))
    masked, filled = (patches_of(each, 8) for each in shown.rows())
    own, hidden = patches_of(colours(images), 8), masking.hidden.bool()
    assert (masked[hidden] == 0.5).all() and torch.equal(masked[~hidden], own[~hidden])
    assert torch.equal(filled[~hidden], own[~hidden]) and filled[hidden].std(0).max() < 0.1
    page = sheet([shown, shown])
    assert page.width > 2 * 64 and page.height == 5 * 68 + 4


def test_towers_without_a_class_token_are_refused() -> None:
    with pytest.raises(SettingsError, match="masking"):
        MaskedAutoencoder(ImageTower(ImageTowerConfig(size=32, patch=8, width=48, heads=3)), DECODER)
