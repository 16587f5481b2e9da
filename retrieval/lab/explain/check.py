"""The numbers that readers of an account of vision transformers are asked to derive, derived by this code."""

from __future__ import annotations

from typing import NamedTuple

from retrieval.lab.explain.cost import encoder_flops, patch_costs
from retrieval.lab.explain.families import timm_shape
from retrieval.lab.explain.shape import VisionShape


class Answer(NamedTuple):
    """A question, the result of this code, and the correct answer (to the number of digits written there)."""

    question: str
    computed: str
    expected: str

    @property
    def right(self) -> bool:
        return self.computed == self.expected


def quiz() -> tuple[Answer, ...]:
    """Patches and tokens, the patch projection, and the cost of other patch sizes for a ViT-B at 224 pixels."""
    b16, b8, b32 = (_vit(f"vit_base_patch{patch}_224") for patch in (16, 8, 32))
    return (
        Answer("patches of 16 pixels in a picture of 224", str(b16.patches), "196"),
        Answer("tokens of a ViT-B/16 at 224", str(b16.tokens), "197"),
        Answer("tokens of a ViT-B/32 at 224", str(b32.tokens), "50"),
        Answer("tokens of a ViT-B/8 at 224", str(b8.tokens), "785"),
        Answer("tokens of a ViT-L/14 at 224", str(_vit("vit_large_patch14_224").tokens), "257"),
        Answer("tokens of a ViT-H/14 at 224", str(_vit("vit_huge_patch14_224").tokens), "257"),
        Answer("parameters of the patch projection, P=16, C=3, D=768", f"{b16.patch_weights:,}", "589,824"),
        *_compared(b8, b16, "8 against 16", ("16.00", "15.88", "4.47", "4.45")),
        *_compared(b16, b32, "16 against 32", ("16.00", "15.52", "4.06", "3.98")),
        Answer("multiply-adds of the blocks of a ViT-B/32, 1e9", f"{encoder_flops(b32) / 2e9:.2f}", "4.29"),
        Answer("multiply-adds of the blocks of a ViT-B/16, 1e9", f"{encoder_flops(b16) / 2e9:.2f}", "17.45"),
        Answer("multiply-adds of the blocks of a ViT-B/8, 1e9", f"{encoder_flops(b8) / 2e9:.2f}", "78.03"),
    )


def _compared(fine: VisionShape, coarse: VisionShape, which: str, expected: tuple[str, ...]) -> list[Answer]:
    (cost,) = patch_costs(coarse, (fine.patch,))
    questions = (
        (f"attention between tokens, patch {which}, over patches alone", cost.over_patches),
        ("the same with the class token", cost.attention),
        ("all blocks together", cost.encoder),
        ("the whole tower, patch projection included", cost.tower),
    )
    return [Answer(q, f"{value:.2f}", right) for (q, value), right in zip(questions, expected, strict=True)]


def _vit(name: str) -> VisionShape:
    shape = timm_shape(name)
    assert shape is not None, name
    return shape
