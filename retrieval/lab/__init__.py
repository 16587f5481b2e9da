"""Training, evaluation, explanation, experiments. Imported only by its own commands."""
