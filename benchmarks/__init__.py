"""The benchmark behind ``make bench``: the limits of this machine, and how close photoseek comes to them.

::

    run.py        the command line: which parts, which pictures, which model
    settings.py   the sizes of a full and a quick run
    measure.py    alternating rounds, medians and spreads, CPU time of other processes
    stopwatch.py  wall time, CPU time and peak memory of whole commands
    machine.py    the machine that was measured
    tables.py     Markdown tables
    data.py       pictures and file trees, generated once and kept
    galleries.py  galleries of any size without encoding a picture
    model.py      a model with random weights that costs as much as ViT-B-32-256 (vit.py, onnx_file.py)
    stages.py, encoder.py, reindex.py, query.py, memory.py, vectors.py: the parts
    peer.py       rclip for comparison, if it is installed; rclip_model.py makes a model for it
"""
