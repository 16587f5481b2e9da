"""ClipEncoder: image and text towers of any open_clip model on torch, on a GPU or on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from indexes.base import Vectors
from retrieval.encoders.base import unit
from retrieval.encoders.names.open_clip_weights import ClipSource, find_source, spec_of
from retrieval.encoders.torch.encoder import TorchEncoder, require_modules
from retrieval.encoders.torch.open_clip_model import build_model, build_tokenizer, import_open_clip, is_cut

if TYPE_CHECKING:
    import torch

TEXT_BATCH = 64


def load_clip_encoder(
    name: str, *, device: str | None = None, precision: str | None = None, compiled: bool | None = None
) -> ClipEncoder:
    """An encoder for ``MODEL/TAG``, ``local-dir:PATH``, ``hf-hub:ORG/REPO`` or a weight file.

    The files are found and checked now; torch is imported at the first use. Nothing is downloaded.

    Args:
        device, precision, compiled: see :class:`TorchEncoder`.

    Raises:
        UnknownEncoder, WeightsUnavailable, RuntimeUnavailable, EncoderError: see :func:`find_source`.
        SettingsError: an unknown device or precision.
    """
    require_modules(name, "torch", "open_clip")
    return ClipEncoder(find_source(name), device=device, precision=precision, compiled=compiled)


class ClipEncoder(TorchEncoder):
    """The ``Encoder`` protocol over open_clip on torch.

    Args:
        source: files of the model, already checked.
        device, precision, compiled: see :class:`TorchEncoder`.
    """

    def __init__(
        self,
        source: ClipSource,
        *,
        device: str | None = None,
        precision: str | None = None,
        compiled: bool | None = None,
    ) -> None:
        super().__init__(spec_of(source), source.weights, device=device, precision=precision, compiled=compiled)
        self.source = source
        self._words: Any = None

    def _build(self) -> torch.nn.Module:
        import_open_clip()  # raises with an install hint if it is missing
        model = build_model(self.source)
        # Together with the model, so that an unreadable tokenizer is noticed before a folder is indexed.
        self._words = build_tokenizer(self.source)
        return model

    def in_fp32(self) -> ClipEncoder:
        """The same model in float32 on the CPU: the reference for exports."""
        return ClipEncoder(self.source, device="cpu", precision="fp32")

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts -> (n, dim) float32 unit vectors."""
        if not texts:
            return np.empty((0, self.spec.dim), np.float32)
        import torch

        model, tokenizer = self.model, self._tokenizer
        rows = []
        with self._lock, torch.inference_mode():
            for start in range(0, len(texts), TEXT_BATCH):
                tokens = tokenizer(list(texts[start : start + TEXT_BATCH])).to(self._place())
                rows.append(model.encode_text(tokens).float().cpu().numpy())
        return unit(np.concatenate(rows))

    def is_cut(self, text: str) -> bool:
        """True if the tokenizer truncates ``text``."""
        return is_cut(self._tokenizer, text)

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, context_length) int64 ids, on the CPU."""
        ids: torch.Tensor = self._tokenizer(list(texts))
        return ids

    @property
    def hf_tokenizer(self) -> Any:
        """The inner transformers tokenizer, for models that have one."""
        return self._tokenizer.tokenizer

    @property
    def _tokenizer(self) -> Any:
        self._wake()
        return self._words
