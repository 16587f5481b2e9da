"""``photoseek eval``: commands that evaluate encoders on labelled data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands import values
from retrieval.commands.options import GalleryOption
from retrieval.commands.say import others_go_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from retrieval.encoders.base import Encoder
    from retrieval.gallery import Gallery
    from retrieval.lab.evaluation.tables import Form, Report

eval_app = typer.Typer(
    help="Evaluate a model on your own data: captions or class folders.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="Encoder; default: the gallery's (see: photoseek models).", autocompletion=values.models
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Encode every picture, even if the gallery has its embedding.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the main table as CSV.")]
ClassFolders = Annotated[Path, typer.Argument(help="A folder with one subfolder of pictures per class.")]
LabelsOption = Annotated[
    Path | None, typer.Option("--labels", help="File of class names: per line a folder, a tab and a name.")
]
TestOption = Annotated[Path | None, typer.Option("--test", help="Test set: a folder with the same classes.")]
ShareOption = Annotated[
    float, typer.Option("--share", help="Without --test: share of each class held out for testing.")
]


@eval_app.command("retrieval")
def retrieval_(
    captions: Annotated[
        Path, typer.Argument(help="Text file (per line a path, a tab and a caption), CSV, JSONL, or Karpathy's JSON.")
    ],
    model: ModelOption = "",
    gallery: GalleryOption = None,
    ann: Annotated[
        bool, typer.Option("--ann", help="Also evaluate the gallery's index, not only exact search.")
    ] = False,
    fresh: FreshOption = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Measure how well captions find their pictures, and pictures their captions."""
    from retrieval.lab.evaluation.caption_task import report_captions
    from retrieval.lab.evaluation.tables import choose_form

    form = choose_form(as_json=as_json, as_csv=as_csv)
    opened, encoder = _open(gallery, model, device)
    report = report_captions(
        encoder, captions, gallery=opened, with_index=ann, fresh=fresh, seed=seed, on_progress=_told()
    )
    _show(report, form)


@eval_app.command()
def zeroshot(
    folder: ClassFolders,
    labels: LabelsOption = None,
    templates: Annotated[
        list[str] | None,
        typer.Option("--templates", help="Prompt templates: 1, 7, 80, model (its own), or a file (repeat to compare)."),
    ] = None,
    model: ModelOption = "",
    gallery: GalleryOption = None,
    fresh: FreshOption = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Classify pictures zero-shot, by the names of the classes."""
    from retrieval.lab.evaluation.label_tasks import report_zero_shot
    from retrieval.lab.evaluation.tables import choose_form

    form = choose_form(as_json=as_json, as_csv=as_csv)
    opened, encoder = _open(gallery, model, device)
    report = report_zero_shot(
        encoder,
        folder,
        labels_file=labels,
        templates=templates or ("model",),
        gallery=None if fresh else opened,
        seed=seed,
        on_progress=_told(),
    )
    _show(report, form)


@eval_app.command()
def probe(
    folder: ClassFolders,
    test: TestOption = None,
    share: ShareOption = 0.2,
    k: Annotated[int, typer.Option("--k", min=1, help="Number of neighbours for k-NN.")] = 20,
    temperature: Annotated[float, typer.Option("--temperature", help="Vote temperature of k-NN.")] = 0.07,
    model: ModelOption = "",
    gallery: GalleryOption = None,
    fresh: FreshOption = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Classify with labelled pictures: k-NN and logistic regression on the embeddings."""
    from retrieval.lab.evaluation.label_tasks import report_probe
    from retrieval.lab.evaluation.tables import choose_form

    form = choose_form(as_json=as_json, as_csv=as_csv)
    opened, encoder = _open(gallery, model, device)
    report = report_probe(
        encoder,
        folder,
        test=test,
        share=share,
        k=k,
        temperature=temperature,
        gallery=None if fresh else opened,
        seed=seed,
        on_progress=_told(),
    )
    _show(report, form)


@eval_app.command("few-shot")
def few_shot(
    folder: ClassFolders,
    shots: Annotated[str, typer.Option("--shots", help="Numbers of labelled pictures per class.")] = "1,2,4,8,16",
    draws: Annotated[int, typer.Option("--draws", min=2, help="Random draws per number of shots.")] = 5,
    test: TestOption = None,
    share: ShareOption = 0.2,
    model: ModelOption = "",
    gallery: GalleryOption = None,
    fresh: FreshOption = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Classify with only a few labelled pictures per class."""
    from retrieval.lab.evaluation.label_tasks import report_few_shot
    from retrieval.lab.evaluation.probe import parse_shots
    from retrieval.lab.evaluation.tables import choose_form

    form = choose_form(as_json=as_json, as_csv=as_csv)
    numbers = parse_shots(shots)
    opened, encoder = _open(gallery, model, device)
    report = report_few_shot(
        encoder,
        folder,
        test=test,
        share=share,
        shots=numbers,
        draws=draws,
        gallery=None if fresh else opened,
        seed=seed,
        on_progress=_told(),
    )
    _show(report, form)


@eval_app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="Two or more models.")],
    data: Annotated[Path, typer.Option("--data", help="A file of captions, or a folder of class folders.")],
    labels: LabelsOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw accuracy against speed: a .svg, .html or .png file.")
    ] = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Compare models on the same data: accuracy and cost. Every picture is encoded again, to measure the time."""
    from retrieval.lab.evaluation import chart_files
    from retrieval.lab.evaluation.compare import chart, compare, report_comparison
    from retrieval.lab.evaluation.tables import choose_form

    form = choose_form(as_json=as_json, as_csv=as_csv)
    if plot is not None:
        chart_files.check_chart_path(plot)
    with others_go_on("model", models) as refused:
        found = compare(
            models, data, lambda name: _open(None, name, device)[1], labels_file=labels, seed=seed, refused=refused
        )
        report = report_comparison(found, data)
        _show(report, form)
        if plot is not None:
            title = f"Models on {data.name}"
            chart_files.write_chart(chart(found, title), plot, title=title, table=report.tables[0])


def _told() -> Callable[[int, int], None]:
    from retrieval.indexing.progress import counted

    return counted(sys.stderr, "pictures encoded")


def _open(gallery: Path | None, model: str, device: str) -> tuple[Gallery, Encoder]:
    from retrieval.encoders.choice import choose_encoder
    from retrieval.gallery import Gallery

    opened = Gallery(gallery)
    return opened, choose_encoder(opened, model or None, device=device)


def _show(report: Report, form: Form) -> None:
    from retrieval.lab.evaluation.tables import write_report

    write_report(report, form, sys.stdout)
