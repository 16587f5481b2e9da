"""The form of a model in numbers, for counting its tokens, parameters and multiplications. No engine, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrieval.errors import SettingsError

Positions = Literal["learned", "sincos", "rope", "learned+rope"]
Pooling = Literal["cls", "mean", "map"]
CHANNELS = 3


@dataclass(frozen=True)
class Convolution:
    """One convolution of a stem.

    Args:
        inputs, outputs: channels.
        kernel: side, pixels.
        side: of its output, in positions.
        extra: parameters other than its matrix: a bias, or the two vectors of a batch norm.
    """

    inputs: int
    outputs: int
    kernel: int
    side: int
    extra: int


@dataclass(frozen=True)
class VisionShape:
    """A vision transformer (Dosovitskiy et al. 2021), with the variations of the families here.

    Args:
        size: side of the square input, pixels.
        patch: side of a patch, pixels; with a stem, the product of its strides.
        width, layers, heads: of the encoder; ``hidden`` of its perceptrons.
        class_token: whether there is one; ``registers`` additional tokens without a position (Darcet et al. 2024).
        patch_bias: of the patch projection: open_clip's CLIP has none, timm's models have one.
        positions: learned rows, fixed sines, rotations of queries and keys (Su et al. 2021), or two of them.
        class_position: the class token has its own row among the learned ones.
        qkv_bias: of the projection to queries, keys and values.
        gated: perceptrons multiply two projections (SwiGLU, Shazeer 2020): three matrices instead of two.
        layer_scale: a learned factor per channel after each half of a block (Touvron et al. 2021).
        norm_before: a LayerNorm before the first block (CLIP).
        pool: class token, mean of the patch tokens, or attention of one learned query (``map``, Lee et al. 2019);
            ``pool_hidden`` of the perceptron after that query.
        dim: dimension of the projection into the common space; None: the pooled feature is the embedding.
        projection_bias: of that.
        stem: convolutions instead of the single patch projection.
    """

    size: int
    patch: int
    width: int
    layers: int
    heads: int
    hidden: int
    class_token: bool = True
    registers: int = 0
    patch_bias: bool = True
    positions: Positions = "learned"
    class_position: bool = True
    qkv_bias: bool = True
    gated: bool = False
    layer_scale: bool = False
    norm_before: bool = False
    pool: Pooling = "cls"
    pool_hidden: int = 0
    dim: int | None = None
    projection_bias: bool = False
    stem: tuple[Convolution, ...] = ()

    @property
    def grid(self) -> int:
        """Patches along a side; pixels that do not fill a patch are ignored."""
        return self.size // self.patch

    @property
    def patches(self) -> int:
        """Number of patches of a picture."""
        return self.grid**2

    @property
    def prefix(self) -> int:
        """Tokens that are not patches: class token and registers."""
        return self.class_token + self.registers

    @property
    def tokens(self) -> int:
        """Number of tokens in the encoder's attention."""
        return self.prefix + self.patches

    @property
    def position_rows(self) -> int:
        """Rows of learned (or fixed) position embeddings; rotations have none."""
        if self.positions == "rope":
            return 0
        return self.patches + (self.class_token and self.class_position)

    @property
    def patch_weights(self) -> int:
        """Size of the patch projection's matrix, P x P x C x D (ViT, equation 1), without its bias."""
        if self.stem:
            return sum(each.inputs * each.outputs * each.kernel**2 for each in self.stem)
        return self.patch**2 * CHANNELS * self.width


@dataclass(frozen=True)
class TextShape:
    """A text transformer: CLIP's (pre-norm, one position pooled) or XLM-RoBERTa's (post-norm, mean).

    Args:
        vocabulary, context: rows of the token and position tables that a text uses.
        width, layers, heads, hidden: of the encoder.
        causal: each token attends only to earlier ones.
        dim: embedding dimension.
        projection_bias: of the last matrix.
        position_rows: in the table, if it has more than ``context``.
        embedding_norm: a LayerNorm on the embeddings, and a row for the type of token (RoBERTa); then there is no norm
            after the last block.
        projection_hidden: width of the layer between pooled feature and embedding; 0: one matrix.
    """

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    hidden: int
    causal: bool
    dim: int
    projection_bias: bool = False
    position_rows: int = 0
    embedding_norm: bool = False
    projection_hidden: int = 0


@dataclass(frozen=True)
class ModelShape:
    """Both towers; ``text`` is None for image-only models."""

    image: VisionShape
    text: TextShape | None = None


def check_patches(shape: VisionShape, name: str) -> VisionShape:
    """The shape, if its patches divide the picture evenly; otherwise SettingsError with the nearest sizes."""
    if shape.size % shape.patch:
        near = [shape.grid * shape.patch, (shape.grid + 1) * shape.patch]
        raise SettingsError(
            f"{name}: patches of {shape.patch} pixels do not fill a picture of {shape.size}",
            f"take {' or '.join(str(each) for each in near if each)} pixels",
        )
    return shape
