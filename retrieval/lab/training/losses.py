"""Contrastive losses: pure functions of embeddings, one paper each.

All take unit-length embeddings of images and texts, (n, dim) each, where row i of one belongs to row i of the other,
and return a scalar. Logits are computed in float32 for any precision of the towers: at a scale of 100, bfloat16 cannot
distinguish neighbours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def logits_of(images: Tensor, texts: Tensor, scale: Tensor | float, bias: Tensor | float = 0.0) -> Tensor:
    """(n, m) float32: ``scale`` times the cosine of every image with every text, plus ``bias``."""
    return scale * (images.float() @ texts.float().T) + bias


def info_nce(logits: Tensor) -> Tensor:
    """Symmetric InfoNCE over an (n, n) matrix of scaled similarities whose diagonal contains the true pairs.

    Equation 4 of van den Oord et al. 2018 ("Representation Learning with Contrastive Predictive Coding"), taken once
    along the rows (image to text) and once along the columns (text to image) and averaged: figure 3 of Radford et al.
    2021 ("Learning Transferable Visual Models From Natural Language Supervision"). n equal pairs cost ln n.
    """
    truth = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2


def sigmoid_loss(logits: Tensor, positive: Tensor | None = None) -> Tensor:
    """Sigmoid loss over an (n, m) matrix of scaled and shifted similarities: every pair is classified separately.

    Equation 1 and algorithm 1 of Zhai et al. 2023 ("Sigmoid Loss for Language Image Pre-Training"): the sum of
    -log sigmoid(z * logit), z = 1 for true pairs and -1 for all others, over the number of images.

    Args:
        logits: (n, m) scale * cosine + bias.
        positive: (n, m) bool, which pairs are true; default: the diagonal.
    """
    if positive is None:
        positive = torch.eye(*logits.shape, dtype=torch.bool, device=logits.device)
    sign = torch.where(positive, 1.0, -1.0)
    return -F.logsigmoid(sign * logits).sum() / len(logits)


def multi_positive_nce(logits: Tensor, positive: Tensor) -> Tensor:
    """InfoNCE from images to texts where an image may have several true texts: the mean over them.

    Equation 2 (L_out) of Khosla et al. 2020 ("Supervised Contrastive Learning") with texts as the other views.

    Args:
        logits: (n, m) scaled similarities.
        positive: (n, m) bool; an image without any true text is ignored.
    """
    log_probability = F.log_softmax(logits, dim=1)
    counts = positive.sum(1)
    per_image = -(log_probability * positive).sum(1) / counts.clamp(min=1)
    return per_image[counts > 0].mean()


def symmetric_nce(logits: Tensor, positive: Tensor) -> Tensor:
    """:func:`info_nce` where a text may fit several pictures: :func:`multi_positive_nce` both ways, averaged.

    If only the diagonal is true, it equals :func:`info_nce`. Photos of one class, or with one tag, share their texts;
    as negatives of each other they would pull the class apart.
    """
    return (multi_positive_nce(logits, positive) + multi_positive_nce(logits.T, positive.T)) / 2
