"""``photoseek train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.options import GalleryOption
from retrieval.commands.say import say
from retrieval.errors import SettingsError

if TYPE_CHECKING:
    from retrieval.gallery import Gallery
    from retrieval.lab.training.pairs import Pairs


def train(
    pairs: Annotated[
        Path | None,
        typer.Argument(help="captions.tsv, .csv or .jsonl; a folder with a folder for each class; or a .tar."),
    ] = None,
    from_gallery: Annotated[
        bool, typer.Option("--from-gallery", help="Train on the captions and tags given in the gallery.")
    ] = False,
    begin: Annotated[
        str, typer.Option("--from", help="Model to begin with; default: scratch-small, for --adapter the gallery's.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the model; default: trained, in the models folder.")
    ] = None,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="A linear map on stored embeddings: seconds, no torch.")
    ] = False,
    last_blocks: Annotated[
        int | None, typer.Option("--last-blocks", min=0, help="Train only so many blocks at the end of each tower.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Train everything (the default).")] = False,
    loss: Annotated[str, typer.Option("--loss", help="clip (InfoNCE) or siglip (sigmoid).")] = "clip",
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Default: 20, or until --minutes.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop training after so long.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Pictures that are told apart at once.")] = 256,
    chunk: Annotated[int, typer.Option("--chunk", min=0, help="Of these, in memory at once (GradCache); 0: all.")] = 0,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Highest learning rate [0.001; of a model: 1e-5].")
    ] = None,
    weight_decay: Annotated[float, typer.Option("--weight-decay", min=0, help="Of matrices.")] = 0.05,
    average: Annotated[float, typer.Option("--average", help="Average the weights, e.g. 0.999; 0: no.")] = 0.0,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", help="Pictures may be seen mirrored.")] = True,
    precision: Annotated[
        str, typer.Option("--precision", help="auto (bf16 where the device computes in it), bf16 or fp32.")
    ] = "auto",
    share: Annotated[float, typer.Option("--share", help="Of the pictures that are held out to judge by.")] = 0.15,
    disliked: Annotated[
        Path | None, typer.Option("--disliked", help="For --adapter: a file of captions that do not fit.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in --out.")] = False,
    gallery: GalleryOption = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The table as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a model on your own pictures, and say what it gained."""
    from retrieval.encoders.installed import models_folder
    from retrieval.gallery import Gallery
    from retrieval.lab.evaluation.tables import write_report
    from retrieval.lab.training.report import check_out

    if adapter + (last_blocks is not None) + full > 1:
        raise SettingsError("--adapter, --last-blocks and --full exclude each other", "give one of them")
    target = out or models_folder() / "trained"
    check_out(target, resume=resume)
    opened = Gallery(gallery)
    found = _pairs(pairs, opened, from_gallery, disliked)
    interrupted = False
    if adapter:
        from retrieval.encoders.choice import choose_encoder
        from retrieval.lab.training.adapter_run import train_adapter
        from retrieval.lab.training.progress import say_begin

        encoder = choose_encoder(opened, begin or None, device=device)
        report = train_adapter(
            found, encoder, target, gallery=opened, share=share, seed=seed, begin=say_begin(sys.stderr, quiet=quiet)
        )
    else:
        from retrieval.interrupts import stop_on_interrupt
        from retrieval.lab.training.choices import plan_of
        from retrieval.lab.training.progress import shown_training

        plan = plan_of(
            begin, target, last_blocks=last_blocks, loss=loss, epochs=epochs, minutes=minutes, batch=batch, chunk=chunk,
            rate=rate, weight_decay=weight_decay, average=average, mirror=mirror, precision=precision, share=share,
            resume=resume, device=device, seed=seed,
        )  # fmt: skip
        stopping = "stopping after this step; the best weights so far are kept ..."
        with stop_on_interrupt(lambda: say(stopping)) as stop, shown_training(sys.stderr, quiet=quiet) as told:
            from retrieval.lab.training.run import train as run

            report, interrupted = run(found, plan, told=told, stop=stop)
    write_report(report, "json" if as_json else "table", sys.stdout)
    if not quiet:
        say(f"use it: photoseek index --model {target if out else target.name}")
    if interrupted:
        say(f"stopped early; the best weights so far are in {target}")
        say("to go on: the same command with --resume")
        raise typer.Exit(130)


def _pairs(place: Path | None, gallery: Gallery, from_gallery: bool, disliked: Path | None) -> Pairs:
    from retrieval.lab.training.pairs import pairs_of_gallery, read_pairs

    if (place is None) != from_gallery:
        raise SettingsError(
            "give either captions, a folder or a tar, or --from-gallery", "photoseek train captions.tsv --out DIR"
        )
    if place is None:
        return pairs_of_gallery(gallery, disliked=disliked)
    return read_pairs(place, disliked=disliked)
