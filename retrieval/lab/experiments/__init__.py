"""The experiments behind the statements about vision transformers, run with ``python -m retrieval.lab.experiments``.

Not part of photoseek's commands: they train models from scratch, on pictures that need not be the user's, and create
neither a gallery nor a model. Each module trains, and returns an :class:`.outcome.Outcome`; ``learning`` has
the only training loop.
"""

from __future__ import annotations

from typing import NamedTuple


class Experiment(NamedTuple):
    """One experiment.

    Attributes:
        target: its location, ``module:function``.
        question: the question it answers.
        margin: the size at which its pictures are stored, relative to the models' input.
    """

    target: str
    question: str
    margin: float = 1.0


EXPERIMENTS: dict[str, Experiment] = {
    "patch-size": Experiment(
        "retrieval.lab.experiments.patch_size:run",
        "What do patches of 8, 16 and 32 pixels cost, and what do they bring?"
    ),
    "positions": Experiment(
        "retrieval.lab.experiments.positions:run", "What is lost without position embeddings?"
    ),
    "pooling": Experiment("retrieval.lab.experiments.pooling:run", "Class token, or mean of the patch tokens?"),
    "data-hunger": Experiment(
        "retrieval.lab.experiments.data_hunger:run",
        "Does a transformer need more pictures than a convolutional network?"
    ),
    "masking": Experiment(
        "retrieval.lab.experiments.masking:run", "How much of a picture should a masked autoencoder hide?"
    ),
    "losses": Experiment(
        "retrieval.lab.experiments.losses:run", "InfoNCE or the sigmoid loss, when batches are small?"
    ),
    "resolution": Experiment(
        "retrieval.lab.experiments.resolution:run", "What do more tokens bring to a model trained at one size?", 1.5
    ),
}  # fmt: skip
"""Name -> experiment, in the order of ``docs/account.md``."""
