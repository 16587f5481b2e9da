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
    """torch.onnx.export as it works with open_clip.

    Attention's fused path has no ONNX form and is off meanwhile; the TorchScript exporter's notes are silenced
    (that it is deprecated, and that traced shapes are constants).
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
            # The sizes of a padding are turned about in the graph; engines fold that when they load it.
            warnings.filterwarnings("ignore", message="Constant folding - Only steps=1.*")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def write_graph(
    function: torch.nn.Module, example: torch.Tensor, path: Path, *, input_name: str, dynamic: dict[int, str]
) -> None:
    """Trace a module into ONNX with a free batch axis; weights over 2 GB go to files beside it.

    Raises:
        EncoderError: an operation of this model has no ONNX form.
    """
    import torch

    # The exporter puts back the mode it found, and a new wrapper is in training mode: left so, the model inside
    # would come out of its export with dropout on.
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
