"""How a model processes a picture: its shape and cost in numbers, and heat maps.

``shape`` and ``cost`` are arithmetic; ``families`` and ``configs`` have published shapes, ``graph_shape`` derives them
from an ONNX file, ``built`` counts on torch; ``subject`` combines them; ``occlusion``, ``rollout`` and
``torch_attention`` make heat maps; ``report``, ``lines``, ``pictures`` and ``page`` show the results.
"""
