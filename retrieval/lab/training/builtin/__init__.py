"""The recipe of the built-in model: from public pictures and WordNet to the files in ``retrieval/encoders/builtin``.

``python -m retrieval.lab.training.builtin --help`` runs it; MODEL_CARD.md beside the model says what came out.
"""
