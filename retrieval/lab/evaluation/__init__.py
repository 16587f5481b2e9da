"""How good embeddings are: functions on matrices, and the few that make those matrices from files.

``ranks``, ``metrics``, ``bootstrap``, ``crossmodal``, ``classification``, ``neighbours``, ``logistic``, ``probe`` know
nothing of files, galleries or models: trainers and experiments call them with what they have. ``captions_file``,
``class_folders`` and ``embed`` make their matrices, ``tasks`` puts them together into what ``photoseek eval`` prints.
"""
