"""Export a torch module to an ONNX graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.errors import EncoderError

if TYPE_CHECKING:
    import torch

OPSET = 17


@contextmanager
def traceable() -> Iterator[None]:
    """Make torch.onnx.export work with open_clip.

    The fused attention path cannot be exported to ONNX and is disabled; the TorchScript exporter's warnings are
    suppressed (that it is deprecated, and that traced shapes are constants).
    """
    import torch
    from torch.jit import TracerWarning  # type: ignore[attr-defined]

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=TracerWarning)
            # The pooled position comes from argmax and is never negative.
            warnings.filterwarnings("ignore", message=".*advanced indexing.*")
            # The graph reverses the sizes of a padding; engines fold that when they load it.
            warnings.filterwarnings("ignore", message="Constant folding - Only steps=1.*")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def write_graph(
    function: torch.nn.Module, example: torch.Tensor, path: Path, *, input_name: str, dynamic: dict[int, str]
) -> None:
    """Trace a module into ONNX with a free batch axis; weights over 2 GB are written to files next to it.

    Raises:
        EncoderError: an operation of this model is not available in ONNX.
    """
    import torch

    # The exporter restores the mode it found, and a new wrapper is in training mode: without this, the model inside
    # would have dropout enabled after the export.
    function.eval()
    try:
        with traceable(), torch.no_grad():
            torch.onnx.export(
                function,
                (example,),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=[input_name],
                output_names=["embedding"],
                dynamic_axes={input_name: dynamic, "embedding": {0: "n"}},
            )
    except (RuntimeError, ValueError, NotImplementedError) as error:  # torch.onnx's errors are RuntimeErrors
        raise EncoderError(
            f"this model cannot be written as ONNX: {' '.join(str(error).split())[:300]}",
            "use it with torch",
        ) from error
