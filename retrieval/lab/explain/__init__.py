"""How a model processes a picture: its shape and cost in numbers, and heat maps.

``shape`` and ``cost`` are arithmetic; ``families`` and ``configs`` know published shapes, ``graph_shape`` reads them
out of an ONNX file, ``built`` counts on torch; ``subject`` puts them together; ``occlusion``, ``rollout`` and
``torch_attention`` make heat maps; ``report``, ``lines``, ``pictures`` and ``page`` show all that.
"""
