"""What a model does to a picture: its shape and cost in numbers, and where in a picture it looks.

``shape`` and ``cost`` are arithmetic; ``families`` knows the published shapes by name, ``graph`` reads them out of an ONNX
file, ``built`` counts on torch; ``subject`` puts them together; ``cells``, ``occlusion``, ``rollout`` and ``dense`` make
heat maps; ``report``, ``lines``, ``pictures`` and ``page`` show all that.
"""
