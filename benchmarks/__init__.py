"""The benchmark behind ``make bench``: what this machine allows, and how much of it photoseek reaches.

::

    run.py        the command line: which parts, which pictures, which model
    settings.py   how much of everything a full and a quick run take
    measure.py    alternating rounds, medians and spreads, foreign CPU time
    stopwatch.py  wall time, CPU time and peak memory of whole commands
    machine.py    what was measured on
    tables.py     Markdown tables
    data.py       pictures and file trees, generated once and kept
    galleries.py  galleries of any size without encoding a picture
    model.py      a model of ViT-B-32-256's cost with random weights (vit.py, onnx_file.py)
    stages.py, encoder.py, reindex.py, query.py, memory.py, vectors.py: the parts
    peer.py       rclip beside it, where one is installed; rclip_model.py makes a model for it
"""
