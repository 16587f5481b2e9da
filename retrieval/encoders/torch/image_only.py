"""ImageEncoder: image-only timm models (ViT, DINOv2, MAE, DINOv3, CNNs) on torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from indexes.base import Vectors
from retrieval.encoders.base import EncoderSpec
from retrieval.encoders.files.description import fingerprint_of
from retrieval.encoders.files.safetensors_file import content_digest
from retrieval.encoders.names.known_models import text_not_supported
from retrieval.encoders.names.timm_weights import ImageSource, find_image_source
from retrieval.encoders.torch.encoder import TorchEncoder, require_modules

if TYPE_CHECKING:
    import torch


def load_image_encoder(
    name: str, *, device: str | None = None, precision: str | None = None, compiled: bool | None = None
) -> ImageEncoder:
    """An encoder for ``MODEL[+POOL][@SIZE][=PATH]`` (see ``image_models``) or a folder in timm's layout.

    The files are found and checked now; weights are loaded at the first use. Nothing is downloaded.

    Args:
        device, precision, compiled: see :class:`TorchEncoder`.

    Raises:
        UnknownEncoder, WeightsUnavailable, RuntimeUnavailable, EncoderError: see :func:`find_image_source`.
        SettingsError: an unknown device, precision, pooling or size.
    """
    require_modules(name, "torch", "timm")
    return ImageEncoder(find_image_source(name), device=device, precision=precision, compiled=compiled)


class ImageEncoder(TorchEncoder):
    """The ``Encoder`` protocol over an image-only timm model; texts raise errors.

    Args:
        source: files of the model, already checked.
        device, precision, compiled: see :class:`TorchEncoder`.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        device: str | None = None,
        precision: str | None = None,
        compiled: bool | None = None,
    ) -> None:
        super().__init__(image_spec(source), source.weights, device=device, precision=precision, compiled=compiled)
        self.source = source

    def _build(self) -> torch.nn.Module:
        from retrieval.encoders.torch.timm_model import build_image_tower

        return build_image_tower(self.source)

    def in_fp32(self) -> ImageEncoder:
        """The same model in float32 on the CPU: the reference for exports."""
        return ImageEncoder(self.source, device="cpu", precision="fp32")

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Raises TextNotSupported."""
        self._refuse()

    def is_cut(self, text: str) -> bool:
        """Raises TextNotSupported."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise text_not_supported(self.spec.name)


def image_spec(source: ImageSource) -> EncoderSpec:
    """The encoder's row; reads the weight file once to compute its fingerprint, then uses the stored hash."""
    dim = source.dim
    if not dim:
        from retrieval.encoders.torch.timm_model import features_of

        dim = features_of(source)
    return EncoderSpec(
        name=source.name,
        family=source.family,
        source=source.origin,
        dim=dim,
        preprocessing=source.preprocessing,
        has_text=False,
        context_length=0,
        licence=source.licence,
        fingerprint=fingerprint_of(
            source.preprocessing,
            text=None,
            weights=[content_digest(source.weights)],
            image={
                "architecture": source.architecture.partition(".")[0],
                "arguments": dict(source.model_args),
                "pool": source.pool,
                "meta_positions": source.meta_positions,
            },
        ),
    )
