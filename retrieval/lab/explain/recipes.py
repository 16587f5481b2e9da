"""How the families were trained: loss, temperature, and sources. Text for people; not used in any
computation."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TrainingRecipe:
    """The training of a family.

    Args:
        loss: a description, with its formula if it is short.
        temperature: the factor of the cosines, and its initial value; "" if there is none.
        source: reference.
        facts: other particulars.
    """

    loss: str
    temperature: str
    source: str
    facts: tuple[str, ...] = ()


_SOFTMAX = (
    "softmax InfoNCE, symmetric: mean of -log softmax(scale · cosine) of each picture's own text among the batch's "
    "texts, and of each text's own picture"
)
_LEARNED = "scale learned as exp(t), started at 1/0.07 = 14.29 and held at or below 100"
_SIGMOID = (
    "sigmoid: -log sigmoid(±(scale · cosine + bias)) of every pair of the batch, + for the pairs that belong together"
)
_SIGMOID_START = "scale started at 10, bias at -10, both learned"

_RECIPES = {
    "clip": TrainingRecipe(_SOFTMAX, _LEARNED, "Radford et al. 2021, CLIP, section 2"),
    "siglip": TrainingRecipe(_SIGMOID, _SIGMOID_START, "Zhai et al. 2023, SigLIP, section 3"),
    "siglip2": TrainingRecipe(
        f"{_SIGMOID}; with it captioning, localised captioning, self-distillation and masked prediction",
        _SIGMOID_START,
        "Tschannen et al. 2025, SigLIP 2, section 2",
    ),
    "pe": TrainingRecipe(_SOFTMAX, _LEARNED, "Bolya et al. 2025, Perception Encoder, section 2"),
    "mobileclip": TrainingRecipe(
        f"{_SOFTMAX}; with it distillation of an ensemble's similarities (reinforced data set)",
        _LEARNED,
        "Vasu et al. 2024, MobileCLIP, section 3",
    ),
    "vit": TrainingRecipe(
        "cross-entropy over class labels", "", "Dosovitskiy et al. 2021, ViT; Steiner et al. 2022, weights"
    ),
    "resnet": TrainingRecipe("binary cross-entropy over class labels (timm's recipe A1)", "", "Wightman et al. 2021"),
    "mae": TrainingRecipe(
        "mean squared error of the masked patches' pixels, each patch normalised, visible ones not counted",
        "",
        "He et al. 2022, MAE, section 3",
    ),
    "dinov2": TrainingRecipe(
        "self-distillation: cross-entropy between a student's and a moving-average teacher's softmax, for crops (DINO) "
        "and for masked patches (iBOT), with KoLeo spreading; no labels, no texts",
        "of teacher and student softmax, used up in training: embeddings are compared by their cosine",
        "Oquab et al. 2024, DINOv2, section 4",
    ),
    "dinov3": TrainingRecipe(
        "self-distillation as in DINOv2, and Gram anchoring, which keeps patch tokens sharp",
        "of teacher and student softmax, used up in training: embeddings are compared by their cosine",
        "Siméoni et al. 2025, DINOv3, section 4",
        ("texts need a text tower of their own (dino.txt), which is not part of it",),
    ),
}


def recipe_of(
    family: str, *, own: bool = False, scale: float | None = None, bias: float | None = None
) -> TrainingRecipe | None:
    """The training of a family; ``scale`` and ``bias`` are the trained values, if the weights are available.

    Args:
        own: trained with photoseek, by a recipe that is only in the model's own record.

    Returns None for a family without a recipe here.
    """
    trained = f"scale {scale:.2f}" + (f", bias {bias:.2f}" if bias is not None else "") if scale is not None else ""
    if own:
        how = "sigmoid(scale · cosine + bias), each pair for itself" if bias is not None else "softmax(scale · cosine)"
        return TrainingRecipe(f"its own record says how (MODEL_CARD.md, if it has one); its scores are read as {how}",
                      trained, "encoder.json")  # fmt: skip
    known = _RECIPES.get("siglip" if family == "clip" and bias is not None else family)
    if known is None or not trained:
        return known
    return replace(known, temperature=f"{known.temperature}; here: {trained}")


def masked_patches(patches: int, share: float = 0.75) -> tuple[int, int]:
    """(masked, visible) of MAE's random masking: ``patches * (1 - share)`` stay, rounded down (its code's ``int``)."""
    visible = int(patches * (1 - share))
    return patches - visible, visible
