"""``photoseek explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def explain(
    model: Annotated[
        str, typer.Argument(help="A model, open_clip's or timm's architecture, a folder; default: the one in use.")
    ] = "",
    image: Annotated[
        Path | None, typer.Option("--image", help="A picture: cut into its patches, with a heat map.")
    ] = None,
    text: Annotated[str, typer.Option("--text", help='What the heat map looks for: "a dog".')] = "",
    heat: Annotated[
        str,
        typer.Option("--heat", help="auto, occlusion (any model), rollout (attention), dense (patch by patch), none."),
    ] = "auto",
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with all of it.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the drawings.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Also how many pictures a second it embeds here.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Derive the numbers that accounts of ViT ask for, no model.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """What a model does to a picture: patches, tokens, where it looks. And what all that costs."""
    from retrieval.encoders.installed import default_encoder_name
    from retrieval.lab.explain.show import Wish, check_answers
    from retrieval.lab.explain.show import explain as explained

    if check:
        if not check_answers(sys.stdout, as_json=as_json):
            raise typer.Exit(1)
        return
    wish = Wish(image, text, html, png, heat, measure, as_json, device or None)  # type: ignore[arg-type]  # checked there
    explained(model or default_encoder_name(), wish, sys.stdout)
