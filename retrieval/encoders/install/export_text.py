"""Export of the text tower: weights for the numpy tower if it supports them, otherwise an ONNX graph."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.encoders.files.description import Activation, Pool, TextTower, TokenizerSpec
from retrieval.encoders.onnx.tokenizer import write_clip_merges
from retrieval.encoders.torch.clip import ClipEncoder
from retrieval.encoders.torch.open_clip_model import import_open_clip
from retrieval.errors import EncoderError

if TYPE_CHECKING:
    import torch

# The tensors that NumpyTextTower supports; anything else (LayerScale, a class token) needs the graph.
_KNOWN = re.compile(
    r"token_embedding\.weight|positional_embedding|ln_final\.(weight|bias)|text_projection(\.weight|\.bias)?"
    r"|transformer\.resblocks\.\d+\.(ln_[12]\.(weight|bias)|attn\.in_proj_(weight|bias)"
    r"|attn\.out_proj\.(weight|bias)|mlp\.c_(fc|proj)\.(weight|bias))"
)
_POOLS = ("argmax", "eos", "last")


def text_tower(
    encoder: ClipEncoder, folder: Path, *, weight_type: str, as_onnx: bool
) -> tuple[TextTower, tuple[str, ...]]:
    """Write the text tower and its tokenizer into ``folder``; return its description and further files.

    Raises:
        EncoderError: the tower cannot be exported as ONNX, or its tokenizer as a file.
    """
    text = getattr(encoder.model, "text", encoder.model)
    weights = None if as_onnx else _plain_weights(text)
    if weights is None:
        return _graph(encoder, text, folder)
    activation, pool = _activation(text), _pool(text)
    if activation is None or pool is None:
        return _graph(encoder, text, folder)
    _save(weights, folder / "text.safetensors", weight_type)
    block = text.transformer.resblocks[0]
    causal = text.attn_mask is not None
    # If tokens attend to each other or the last position is pooled, every position matters: rows get full length.
    full = not causal or pool == "last"
    eos = int(getattr(text, "text_eos_id", getattr(text, "eos_id", 0))) if pool == "eos" else None
    tower = TextTower(
        file="text.safetensors",
        kind="clip-weights",
        tokenizer=_tokenizer(encoder, folder, full=full, end=eos),
        context_length=encoder.spec.context_length,
        heads=block.attn.num_heads,
        activation=activation,
        eps=float(block.ln_1.eps),
        causal=causal,
        pool=pool,
    )
    return tower, ()


def _graph(encoder: ClipEncoder, text: Any, folder: Path) -> tuple[TextTower, tuple[str, ...]]:
    import torch

    from retrieval.encoders.torch.graph import write_graph

    class Texts(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor) -> Any:
            return self.model.encode_text(ids)

    example = encoder.tokenize(["a red bird", "a photo of two dogs in the snow"])
    example = example.to(next(encoder.model.parameters()).device)
    before = set(folder.iterdir())
    write_graph(Texts(encoder.model), example, folder / "text.onnx", input_name="ids", dynamic={0: "n"})
    loose = tuple(sorted(p.name for p in set(folder.iterdir()) - before if p.name != "text.onnx"))
    tower = TextTower(
        file="text.onnx",
        kind="onnx",
        tokenizer=_tokenizer(encoder, folder, full=True, end=None),
        context_length=encoder.spec.context_length,
        causal=getattr(text, "attn_mask", None) is not None,
        pool="last" if _pool(text) == "last" else "argmax",
    )
    return tower, loose


def _plain_weights(text: Any) -> dict[str, torch.Tensor] | None:
    """The tower's own tensors, or None if the numpy tower would compute something else."""
    blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
    if not blocks or type(blocks[0]).__name__ != "ResidualAttentionBlock":
        return None
    if getattr(text, "use_pad_mask", False):
        return None
    other = ("visual.", "logit_", "attn_mask")
    own = {k: v for k, v in text.state_dict().items() if not k.startswith(other)}
    return own if all(_KNOWN.fullmatch(k) for k in own) else None


def _activation(text: Any) -> Activation | None:
    layer = text.transformer.resblocks[0].mlp.gelu
    kind = type(layer).__name__
    if kind == "QuickGELU":
        return "quick_gelu"
    if kind != "GELU":
        return None
    return "gelu_tanh" if layer.approximate == "tanh" else "gelu"


def _pool(text: Any) -> Pool | None:
    kind = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    return kind if kind in _POOLS else None


def _save(weights: dict[str, torch.Tensor], path: Path, weight_type: str) -> None:
    import torch
    from safetensors.torch import save_file

    kind = torch.float16 if weight_type == "float16" else torch.float32
    save_file({k: v.detach().to("cpu", kind).contiguous().clone() for k, v in weights.items()}, str(path))


def _tokenizer(encoder: ClipEncoder, folder: Path, *, full: bool, end: int | None) -> TokenizerSpec:
    length = encoder.spec.context_length if full else None
    options = encoder.source.model_cfg["text_cfg"].get("tokenizer_kwargs") or {}
    if encoder.source.tokenizer is None:
        return _clip_bpe(folder, length, options)
    mode = encoder.source.model_cfg["text_cfg"].get("tokenizer_mode")
    if mode or options.keys() - {"clean", "strip_sep_token"}:
        raise EncoderError(
            f"the tokenizer of {encoder.spec.name} has settings that an export cannot hold: "
            f"{mode or ''} {', '.join(sorted(options))}",
            "use this model with torch",
        )
    shutil.copyfile(encoder.source.tokenizer / "tokenizer.json", folder / "tokenizer.json")
    inner = encoder.hf_tokenizer
    return TokenizerSpec(
        kind="tokenizers",
        file="tokenizer.json",
        end=end,
        pad_id=int(inner.pad_token_id or 0),
        pad_to=length,
        clean=options.get("clean", "whitespace"),
        strip_id=inner.sep_token_id if options.get("strip_sep_token") else None,
    )


def _clip_bpe(folder: Path, length: int | None, options: dict[str, Any]) -> TokenizerSpec:
    """CLIP's merges are included in open_clip; the ids of start and end follow the 512 bytes and the merges."""
    if options.keys() - {"clean"}:
        raise EncoderError(
            f"CLIP's tokenizer with {', '.join(sorted(options))} cannot be exported",
            "use this model with torch",
        )
    tokenizer = import_open_clip().SimpleTokenizer()
    merges = [pair for pair, _ in sorted(tokenizer.bpe_ranks.items(), key=lambda item: item[1])]
    write_clip_merges(merges, folder / "merges.bin")
    return TokenizerSpec(
        kind="clip-bpe",
        file="merges.bin",
        start=tokenizer.sot_token_id,
        end=tokenizer.eot_token_id,
        pad_to=length,
        clean=options.get("clean", "lower"),
    )
