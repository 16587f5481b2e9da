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
        typer.Argument(help="captions.tsv, .csv or .jsonl; a folder with one subfolder per class; or a .tar."),
    ] = None,
    from_gallery: Annotated[
        bool, typer.Option("--from-gallery", help="Train on the captions and tags in the gallery.")
    ] = False,
    begin: Annotated[
        str, typer.Option("--from", help="Model to start from; default: scratch-small; with --adapter: the gallery's.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the model; default: trained, in the models folder.")
    ] = None,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Train only a linear map on stored embeddings: takes seconds, no torch.")
    ] = False,
    last_blocks: Annotated[
        int | None, typer.Option("--last-blocks", min=0, help="Train only this many blocks at the end of each tower.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Train everything (the default).")] = False,
    loss: Annotated[str, typer.Option("--loss", help="clip (InfoNCE) or siglip (sigmoid).")] = "clip",
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Default: 20, or until --minutes.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop training after this many minutes.")] = None,
    batch: Annotated[
        int, typer.Option("--batch", min=2, help="Batch size: pictures contrasted with each other.")
    ] = 256,
    chunk: Annotated[
        int, typer.Option("--chunk", min=0, help="Pictures of a batch in memory at once (GradCache); 0: all.")
    ] = 0,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Peak learning rate [default: 0.001; 1e-5 with a pretrained model].")
    ] = None,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", min=0, help="Weight decay of weight matrices.")
    ] = 0.05,
    average: Annotated[
        float, typer.Option("--average", help="Decay of the weights' moving average, e.g. 0.999; 0: off.")
    ] = 0.0,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", help="Mirror pictures at random.")] = True,
    precision: Annotated[
        str, typer.Option("--precision", help="auto (bf16 where the device supports it), bf16 or fp32.")
    ] = "auto",
    share: Annotated[float, typer.Option("--share", help="Share of the pictures held out for evaluation.")] = 0.15,
    disliked: Annotated[
        Path | None, typer.Option("--disliked", help="With --adapter: file of captions that do not fit their pictures.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training in --out.")] = False,
    gallery: GalleryOption = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a model on your own pictures and report the improvement."""
    from retrieval.encoders.installed import models_folder
    from retrieval.gallery import Gallery
    from retrieval.lab.evaluation.tables import write_report
    from retrieval.lab.training.output_folder import check_out

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
        from retrieval.interrupts import own_time, stop_on_interrupt
        from retrieval.lab.training.choices import plan_of
        from retrieval.lab.training.progress import shown_training

        plan = plan_of(
            begin, target, last_blocks=last_blocks, loss=loss, epochs=epochs, minutes=minutes, batch=batch, chunk=chunk,
            rate=rate, weight_decay=weight_decay, average=average, mirror=mirror, precision=precision, share=share,
            resume=resume, device=device, seed=seed,
        )  # fmt: skip
        stopping = "stopping after this step; the best weights so far are kept ..."
        # The weights are evaluated and written then: longer than a stop usually takes.
        with (
            own_time(),
            stop_on_interrupt(lambda: say(stopping)) as stop,
            shown_training(sys.stderr, quiet=quiet) as told,
        ):
            from retrieval.lab.training.run import train as run

            report, interrupted = run(found, plan, told=told, stop=stop)
    write_report(report, "json" if as_json else "table", sys.stdout)
    if not quiet:
        say(f"use it: photoseek index --model {target if out else target.name}")
    if interrupted:
        from retrieval.interrupts import exit_code

        say(f"stopped early; the best weights so far are in {target}")
        say("to go on: the same command with --resume")
        raise SystemExit(exit_code())


def _pairs(place: Path | None, gallery: Gallery, from_gallery: bool, disliked: Path | None) -> Pairs:
    from retrieval.lab.training.pairs import pairs_of_gallery, read_pairs

    if (place is None) != from_gallery:
        raise SettingsError(
            "give captions, a folder, a tar, or --from-gallery", "photoseek train captions.tsv --out DIR"
        )
    if place is None:
        return pairs_of_gallery(gallery, disliked=disliked)
    return read_pairs(place, disliked=disliked)
