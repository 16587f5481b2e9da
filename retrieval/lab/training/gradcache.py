"""A large contrastive batch in little memory: GradCache.

Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (arXiv:2101.06983),
section 3.2. The loss needs all embeddings of a batch at once, but each tower only its own inputs. So the batch is
embedded in pieces without a graph, the gradient of the loss with respect to the embeddings is computed and kept, and
then each piece is embedded again, with a graph, and backpropagated with its part of that gradient. The parameters get
exactly the gradient of the whole batch (unlike plain gradient accumulation, which has fewer negatives per loss).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Encode = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


class _Side(NamedTuple):
    encode: Encode
    pieces: tuple[Tensor, ...]


def backward(
    encode_images: Encode, encode_texts: Encode, images: Tensor, texts: Tensor, loss: Loss, chunk: int
) -> Tensor:
    """Add the gradient of ``loss(encode_images(images), encode_texts(texts))`` to the parameters; return the loss.

    Args:
        encode_images, encode_texts: inputs (n, ...) to embeddings (n, dim). Rows are independent; with batch norms in
            training mode, the statistics are those of a piece.
        images, texts: the batch.
        loss: of all embeddings; its own parameters (a temperature) also get their gradient.
        chunk: number of inputs that are in a graph at once; 0 for all of them.
    """
    if not chunk or chunk >= len(images):
        value = loss(encode_images(images), encode_texts(texts))
        torch.autograd.backward(value)
        return value.detach()
    sides = (_Side(encode_images, torch.split(images, chunk)), _Side(encode_texts, torch.split(texts, chunk)))
    embedded, states = zip(*(_embed(side) for side in sides), strict=True)
    leaves = [torch.cat(parts).requires_grad_() for parts in embedded]
    value = loss(*leaves)
    torch.autograd.backward(value)
    for side, leaf, before in zip(sides, leaves, states, strict=True):
        if leaf.grad is None:
            continue
        for piece, gradient, state in zip(side.pieces, torch.split(leaf.grad, chunk), before, strict=True):
            with torch.random.fork_rng(_devices(piece)):
                _set_state(state, piece)
                again = side.encode(piece)
            if again.requires_grad:
                torch.autograd.backward(again, gradient)
    return value.detach()


@torch.no_grad()
def _embed(side: _Side) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
    """The embeddings of each piece, and the random state before it, so that dropout can be repeated exactly."""
    embedded, states = [], []
    for piece in side.pieces:
        states.append(_get_state(piece))
        embedded.append(side.encode(piece).detach())
    return embedded, states


def _devices(like: Tensor) -> list[torch.device]:
    return [like.device] if like.is_cuda else []


def _get_state(like: Tensor) -> tuple[Tensor, ...]:
    state = torch.get_rng_state()
    return (state, torch.cuda.get_rng_state(like.device)) if like.is_cuda else (state,)


def _set_state(state: tuple[Tensor, ...], like: Tensor) -> None:
    torch.set_rng_state(state[0])
    if like.is_cuda:
        torch.cuda.set_rng_state(state[1], like.device)
