"""``photoseek models``: the group of commands about encoders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from retrieval.commands import values
from retrieval.commands.options import GalleryOption, JsonOption
from retrieval.commands.say import say
from retrieval.streams import plural

models_app = typer.Typer(
    help="List, fetch, import, export and drop models.", add_completion=False, rich_markup_mode=None
)


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: JsonOption = False) -> None:
    """List, fetch, import, export and drop models. Without a command: list all models."""
    if context.invoked_subcommand is None:
        from retrieval.commands.model_lists import write_models

        write_models(sys.stdout, as_json=as_json)


@models_app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List all models with their size, licence and state. The same as photoseek models."""
    from retrieval.commands.model_lists import write_models

    write_models(sys.stdout, as_json=as_json)


@models_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from: photoseek models.", autocompletion=values.models)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without a prompt.")] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Fetch the original weights, to run on torch (for a GPU).")
    ] = False,
) -> None:
    """Download a model that is ready to run without torch."""
    from retrieval.commands.model_lists import fetch_with_licence

    say(f"installed in {fetch_with_licence(name, sys.stderr, accepted=yes, weights=weights)}")


@models_app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="A folder with visual/ and textual/ ONNX models.")],
) -> None:
    """Install a model from a folder in the layout of Immich's published ONNX models."""
    from retrieval.commands.model_lists import import_folder

    say(f"installed in {import_folder(folder)}")


@models_app.command()
def export(
    name: Annotated[str, typer.Argument(help="A model for torch: MODEL/TAG, dinov2-b14, local-dir:PATH, ...")],
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Parent folder of the exported model; default: the folder of installed models."),
    ] = None,
) -> None:
    """Convert a torch model to ONNX, to run without torch, and check that it gives the same embeddings."""
    from retrieval import output
    from retrieval.commands.model_lists import export_model

    output.write_pairs(export_model(name, into), sys.stderr)


@models_app.command()
def drop(
    name: Annotated[
        str,
        typer.Argument(
            help="One of the gallery's models (see: photoseek info).", autocompletion=values.of_gallery(values.towers)
        ),
    ],
    gallery: GalleryOption = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Drop it even if it is the last model; searches then need a new index run."),
    ] = False,
) -> None:
    """Remove a model's embeddings and index from a gallery. Pictures and the installed model are not touched."""
    from retrieval.gallery import Gallery
    from retrieval.gallery_encoders import drop_encoder

    dropped = drop_encoder(Gallery(gallery), name, even_last=yes)
    say(f"{dropped.encoder.name}: {plural(dropped.embeddings, 'embedding')} removed")
    if dropped.active is None:
        say("no model is left; to search again, run: photoseek index")
    else:
        say(f"searches use {dropped.active.name}")
