"""Making and judging models: training, evaluation, explanations, experiments. Only its own commands import it."""
