"""The recipe of the built-in model: from public pictures and WordNet to the files in ``retrieval/encoders/builtin``.

Run with ``python -m retrieval.lab.training.builtin --help``; MODEL_CARD.md next to the model has the results.
"""
