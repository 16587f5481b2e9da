"""A tiny model in the layout that Immich publishes, made in the same way as by its exporter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.retrieval.encoders.tiny_clip import KINDS, reference

NAME = "tiny-SigLIP/random"
REPOSITORY = "immich-app/tiny-SigLIP__random"


def publish(source: Path, kind: str, folder: Path) -> Path:
    """What Immich's exporter writes for its revision main: batch of one, int32 ids, unit vectors."""
    import torch

    from retrieval.encoders.torch.graph import traceable

    config, preprocess = KINDS[kind]
    model, _, _ = reference(source)
    for part in ("visual", "textual"):
        (folder / part).mkdir(parents=True)

    class Half(torch.nn.Module):
        def __init__(self, encode: Any) -> None:
            super().__init__()
            self.model, self.encode = model, encode

        def forward(self, x: Any) -> Any:
            return self.encode(x, normalize=True)

    size, length = config["vision_cfg"]["image_size"], config["text_cfg"]["context_length"]
    ends = {
        "visual": (model.encode_image, torch.randn(1, 3, size, size), "image"),
        "textual": (model.encode_text, torch.ones(1, length, dtype=torch.int32), "text"),
    }
    with traceable(), torch.no_grad():
        for part, (encode, example, name) in ends.items():
            torch.onnx.export(
                Half(encode),
                (example,),
                str(folder / part / "model.onnx"),
                dynamo=False,
                opset_version=17,
                input_names=[name],
                output_names=["embedding"],
            )
    (folder / "config.json").write_text(json.dumps(config))
    full = {"size": [size, size], "mode": "RGB", "fill_color": 0, **preprocess}
    (folder / "visual" / "preprocess_cfg.json").write_text(json.dumps(full))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / file, folder / "textual" / file)
    (folder / "textual" / "special_tokens_map.json").write_text("{}")
    (folder / "README.md").write_text("an export")
    (folder / "visual" / "rknpu").mkdir()
    (folder / "visual" / "rknpu" / "model.rknn").write_bytes(b"for another engine")
    (folder / "visual" / "model.armnn").write_bytes(b"for another engine")
    return folder
