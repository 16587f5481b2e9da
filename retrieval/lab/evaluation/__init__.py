"""Quality of embeddings: functions on matrices, and some that compute these matrices from files.

``ranks``, ``metrics``, ``bootstrap``, ``crossmodal``, ``classification``, ``neighbours``, ``logistic``, ``probe`` are
independent of files, galleries or models: trainers and experiments call them directly. ``captions_file``,
``class_folders`` and ``embed`` compute their matrices, ``tasks`` combines them into the output of ``photoseek eval``.
"""
