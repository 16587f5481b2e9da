"""``photoseek explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def explain(
    model: Annotated[
        str,
        typer.Argument(help="A model, an architecture of open_clip or timm, or a folder; default: the model in use."),
    ] = "",
    image: Annotated[
        Path | None, typer.Option("--image", help="Picture to show as patches and with a heat map.")
    ] = None,
    text: Annotated[str, typer.Option("--text", help='Text that the heat map shows the match for, e.g. "a dog".')] = "",
    heat: Annotated[
        str,
        typer.Option(
            "--heat", help="Heat map method: auto, occlusion (any model), rollout (attention), dense (per patch), none."
        ),
    ] = "auto",
    html: Annotated[Path | None, typer.Option("--html", help="Write everything to an HTML page.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the figures to a PNG file.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also measure pictures per second on this machine.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compute well-known figures of ViT models and check them; needs no model.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how a model processes a picture: patches, tokens, heat map. Also lists its parts, parameters
    and FLOPs."""
    from retrieval.encoders.installed import default_encoder_name
    from retrieval.lab.explain.show import Wish, check_answers
    from retrieval.lab.explain.show import explain as explained

    if check:
        if not check_answers(sys.stdout, as_json=as_json):
            raise SystemExit(1)
        return
    wish = Wish(image, text, html, png, heat, measure, as_json, device or None)  # type: ignore[arg-type]  # checked there
    explained(model or default_encoder_name(), wish, sys.stdout)
