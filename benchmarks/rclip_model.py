"""``python -m benchmarks.rclip_model DIR``: a data folder for rclip, with random weights and its own model's cost.

For machines that cannot download rclip's weights. Needs photoseek[torch]: both towers are traced from open_clip, and
its copy of CLIP's merge table is the file that rclip reads for each query. Layout: rclip 4.0's ``model_download.py``.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

_MODEL = "ViT-B-32-256"
_FOLDER = "ViT-B-32-256-datacomp_s34b_b86k"
_MERGES = "bpe_simple_vocab_16e6.txt.gz"
_ASKED_FOR = ("LICENSE", "OPENAI-CLIP-MIT.txt", "README.md", "THIRD_PARTY_NOTICES.md")
"""rclip downloads these if they are missing."""


def write_rclip_data(folder: Path) -> None:
    """Write towers, merge table and (empty) licence files where rclip expects them."""
    import torch

    from retrieval.encoders.torch.graph import write_graph
    from retrieval.encoders.torch.open_clip_model import import_open_clip

    class Texts(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, tokens: torch.Tensor) -> Any:
            return self.model.encode_text(tokens)

    open_clip = import_open_clip()
    torch.manual_seed(0)
    model = open_clip.CLIP(**open_clip.get_model_config(_MODEL)).eval()
    towers, tokenizer = folder / _FOLDER, folder / "tokenizer"
    for each in (towers, tokenizer):
        each.mkdir(parents=True, exist_ok=True)
    pixels, tokens = torch.rand(2, 3, 256, 256), torch.randint(1, 49000, (2, 77))
    write_graph(model.visual, pixels, towers / "visual.onnx", input_name="input", dynamic={0: "n"})
    write_graph(Texts(model), tokens, towers / "textual.onnx", input_name="input", dynamic={0: "n"})
    found = importlib.util.find_spec("open_clip")
    if found is None or found.origin is None:
        raise FileNotFoundError("open_clip's merge table")
    shutil.copyfile(Path(found.origin).with_name(_MERGES), tokenizer / _MERGES)
    for name in _ASKED_FOR:
        (folder / name).touch()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.rclip_model DIR")
    write_rclip_data(Path(sys.argv[1]))
