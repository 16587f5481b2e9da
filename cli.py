"""photoseek on the command line: parse flags, call one library function, print. No logic lives here.

Only light modules are imported at the top: ``photoseek search --help`` and a cold query pay for what they use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.errors import QueryError, RetrievalError
from retrieval.start import asks_many

if TYPE_CHECKING:
    from retrieval.engine import Hit, QueryEngine
    from retrieval.filters import Filter

app = typer.Typer(
    name="photoseek",
    help="Search your pictures with words and with pictures. Everything stays on this machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="The models that can be used: list, fetch, import, export.", rich_markup_mode=None)
app.add_typer(models_app, name="models")

_PROGRAM = [sys.executable, str(Path(__file__).resolve())]

GalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", help="Gallery folder [env: PHOTOSEEK_GALLERY; default: in your data folder]."),
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many hits at most.")]
MinScoreOption = Annotated[
    float | None, typer.Option("--min-score", help="Leave out hits below this cosine similarity (-1 to 1).")
]
JsonOption = Annotated[bool, typer.Option("--json", "--jsonl", help="One JSON object a line.")]
PathsOption = Annotated[bool, typer.Option("--paths", help="One path a line.")]
NullOption = Annotated[bool, typer.Option("-0", "--null", help="Paths ended by NUL, for xargs -0.")]
UnderOption = Annotated[
    list[Path] | None, typer.Option("--under", help="Only pictures in this folder, at any depth (repeat for several).")
]
AfterOption = Annotated[str, typer.Option("--after", help="Only pictures taken at or after: 2023, 2023-06, ...")]
BeforeOption = Annotated[str, typer.Option("--before", help="Only pictures taken before.")]
CameraOption = Annotated[str, typer.Option("--camera", help="Only pictures whose camera's name holds this.")]
OrientationOption = Annotated[str, typer.Option("--orientation", help="portrait, landscape or square.")]
FormatOption = Annotated[
    list[str] | None,
    typer.Option("--format", help="Only pictures of this format: JPEG, PNG, HEIF, ... (repeat for several)."),
]


@app.command()
def index(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders with pictures; without any: every folder indexed before.")
    ] = None,
    gallery: GalleryOption = None,
    model: Annotated[str, typer.Option("--model", help="Encoder (see: photoseek models).")] = "",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Leave out what matches, in .gitignore syntax (repeat for several)."),
    ] = None,
    index_spec: Annotated[
        str, typer.Option("--index-spec", help="Kind of vector index, e.g. Exact, SQfp16, HNSW32; auto: by size.")
    ] = "",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="auto, bf16, fp32 or int8 [env: PHOTOSEEK_PRECISION].")
    ] = "",
    workers: Annotated[int, typer.Option("--workers", min=0, help="Threads; 0: as many as fit.")] = 0,
    retry_failures: Annotated[
        bool, typer.Option("--retry-failures", help="Also try unreadable files again that have not changed.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print seconds per stage at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Index picture folders. Run it again at any time: only new and changed files cost something."""
    from retrieval import output
    from retrieval.encoders.choice import advice, choose_encoder
    from retrieval.gallery import Gallery
    from retrieval.indexer import Indexer
    from retrieval.interrupt import stop_on_interrupt
    from retrieval.progress import shown_progress

    opened = Gallery(gallery)
    encoder = choose_encoder(opened, model or None, device=device, precision=precision or None)
    indexer = Indexer(opened, encoder, workers=workers or None)

    def begin() -> None:
        if not quiet:
            say(f"gallery {opened.path}\nmodel   {encoder.spec.name} on {encoder.device}")
            for line in advice(encoder.spec):
                say(line)

    stopping = "stopping after the pictures in flight; nothing is lost ..."
    with stop_on_interrupt(lambda: say(stopping)) as stop, shown_progress(sys.stderr, quiet=quiet) as show:
        report = indexer.run(
            folders or (),
            exclude=exclude or (),
            index_spec=index_spec or None,
            retry_failures=retry_failures,
            on_begin=begin,
            on_progress=show,
            stop=stop,
        )
    for problem in report.problems:
        say(f"{problem.path}: {problem.reason}; its {problem.images_kept:,} pictures are kept")
    if not quiet:
        output.write_pairs(output.report_rows(report), sys.stderr)
    if profile:
        output.write_pairs(output.profile_rows(report, workers or encoder.streams), sys.stderr)
    if report.failures_known and not quiet:
        say(f"{report.failures_known:,} files cannot be used; see: photoseek info --failures")
    if report.still_searching_with is not None:
        say(f"searches go on with {report.still_searching_with}, which has seen more pictures than {report.encoder};")
        say(f"to finish the change, run: photoseek index --model {report.encoder}")
    if report.interrupted:
        say("stopped early; the next run goes on from here")
        raise typer.Exit(130)


@app.command()
def search(
    context: typer.Context,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help='What to look for. "2:beach" counts twice as much.')
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option("--image", "-i", help="A picture to look for as well (repeat for several).")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Words to keep away from (repeat for several).")
    ] = None,
    without_image: Annotated[
        list[str] | None, typer.Option("--without-image", help="A picture to keep away from (repeat for several).")
    ] = None,
    queries_from: Annotated[
        str, typer.Option("--queries-from", help="A file with a text a line (- for stdin); gives JSON lines.")
    ] = "",
    gallery: GalleryOption = None,
    limit: LimitOption = 10,
    min_score: MinScoreOption = None,
    under: UnderOption = None,
    after: AfterOption = "",
    before: BeforeOption = "",
    camera: CameraOption = "",
    orientation: OrientationOption = "",
    formats: FormatOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
) -> None:
    """Find pictures by words, by pictures, or by both."""
    from retrieval.query import Query, parse_term

    terms = [
        *(parse_term("text", text) for text in texts or ()),
        *(parse_term("image", path) for path in image or ()),
        *(parse_term("text", text, sign=-1) for text in without or ()),
        *(parse_term("image", path, sign=-1) for path in without_image or ()),
    ]
    where = _filter(under, after, before, camera, orientation, formats)
    if queries_from:
        from retrieval.many import answer_lines

        if terms or paths or null:
            raise QueryError("--queries-from stands for TEXT and writes JSON lines", "give no other words or form")
        like = Query((parse_term("text", "x"),), where, limit, min_score)
        with _engine(gallery) as engine:
            _needed(answer_lines(engine, queries_from, like, sys.stdout))
        return
    query = Query(tuple(terms), where=where, k=limit, min_score=min_score)
    with _engine(gallery, context.obj) as engine:
        hits = engine.search(query)
    if os.environ.get("PHOTOSEEK_DAEMON") == "1" and context.obj is None:
        from retrieval.daemon_control import start_on_demand

        start_on_demand(engine.gallery, _PROGRAM)
    _show(hits, as_json=as_json, paths=paths, null=null)


@app.command()
def similar(
    photo: Annotated[str, typer.Argument(help="A picture file, or id:N for a picture of the gallery.")],
    gallery: GalleryOption = None,
    limit: LimitOption = 10,
    min_score: MinScoreOption = None,
    under: UnderOption = None,
    after: AfterOption = "",
    before: BeforeOption = "",
    camera: CameraOption = "",
    orientation: OrientationOption = "",
    formats: FormatOption = None,
    as_json: JsonOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
) -> None:
    """Find pictures that look like one; the picture itself is left out."""
    from retrieval.query import parse_picture

    where = _filter(under, after, before, camera, orientation, formats)
    with _engine(gallery) as engine:
        hits = engine.similar(parse_picture(photo), limit, where=where, min_score=min_score)
        _show(hits, as_json=as_json, paths=paths, null=null)


@app.command()
def info(
    gallery: GalleryOption = None,
    failures: Annotated[bool, typer.Option("--failures", help="List the files that cannot be used, and why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What is indexed: counts, model, index, sizes, the last run."""
    from retrieval import overview
    from retrieval.gallery import Gallery

    opened = Gallery(gallery)
    with opened.reader() as reader:
        if failures:
            overview.write_failures(reader, sys.stdout, as_json=as_json)
        else:
            overview.write_overview(opened, reader, sys.stdout, as_json=as_json)


@app.command()
def tune(
    gallery: GalleryOption = None,
    target: Annotated[float, typer.Option("--target", help="Share of the true best hits to be found: 0.99.")] = 0.99,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many best hits are compared.")] = 10,
) -> None:
    """Try the index against exact search on your pictures, and keep the cheapest setting that is good enough."""
    from retrieval import tuning
    from retrieval.gallery import Gallery

    report = tuning.tune_gallery(Gallery(gallery), target=target, k=limit)
    tuning.write_report(report, sys.stdout)
    say(tuning.verdict(report))
    if report.chosen is None:
        raise typer.Exit(1)


@app.command()
def forget(
    folders: Annotated[list[Path], typer.Argument(help="Folders whose pictures leave the gallery.")],
    gallery: GalleryOption = None,
) -> None:
    """Take folders out of the gallery (for instance of a drive that is gone). Files are not touched."""
    from retrieval.gallery import Gallery, forget_folders

    for folder, count in forget_folders(Gallery(gallery), folders).items():
        say(f"{folder}: {count:,} pictures forgotten")


@app.command()
def daemon(
    action: Annotated[str, typer.Argument(help="start, stop, status, or run (stays in the foreground).")],
    gallery: GalleryOption = None,
    idle: Annotated[float, typer.Option("--idle", min=1, help="Seconds without a search after which it leaves.")] = 300,
) -> None:
    """A process that keeps the text tower awake, so that a search by words takes some 50 ms."""
    from retrieval.daemon_control import control
    from retrieval.gallery import Gallery

    typer.echo(control(action, Gallery(gallery), _PROGRAM, idle, _warm_runner))


def _warm_runner() -> Callable[[Sequence[str], QueryEngine], int]:
    """Runs command lines on a daemon's engine; the parser is made once, which takes 6 ms."""
    main = partial(typer.main.get_command(app).main, prog_name="photoseek", standalone_mode=False)
    return lambda arguments, engine: int(main(list(arguments), obj=engine) or 0)


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: JsonOption = False) -> None:
    """The models that can be used, with licence, size, and what is installed."""
    if context.invoked_subcommand is None:
        from retrieval.encoders.listing import write_models

        write_models(sys.stdout, as_json=as_json)


@models_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from: photoseek models.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licence without being asked.")] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="The original weights, to run on torch (for a GPU).")
    ] = False,
) -> None:
    """Download a model that is ready to run without torch."""
    from retrieval.encoders.listing import fetch_with_licence

    say(f"installed in {fetch_with_licence(name, sys.stderr, accepted=yes, weights=weights)}")


@models_app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="A folder with visual/ and textual/ ONNX models.")],
) -> None:
    """Install a model from a folder in the layout of Immich's published ONNX models."""
    from retrieval.encoders.listing import import_folder

    say(f"installed in {import_folder(folder)}")


@models_app.command()
def export(
    name: Annotated[str, typer.Argument(help="An open_clip model: MODEL/TAG, local-dir:PATH, hf-hub:ORG/REPO.")],
    into: Annotated[
        Path | None, typer.Option("--into", help="Folder to put the model's folder in; default: the installed models.")
    ] = None,
) -> None:
    """Turn an open_clip model into the form that runs without torch, and measure that it is the same."""
    from retrieval import output
    from retrieval.encoders.listing import export_model

    output.write_pairs(export_model(name, into), sys.stderr)


def _filter(
    under: list[Path] | None, after: str, before: str, camera: str, orientation: str, formats: list[str] | None
) -> Filter:
    from retrieval.filters import parse_filter

    rest = {"camera": camera, "orientation": orientation}
    return parse_filter(under=under or (), after=after, before=before, formats=formats or (), **rest)


def _engine(gallery: Path | None, warm: QueryEngine | None = None) -> AbstractContextManager[QueryEngine]:
    """A new engine, or the one of the daemon that this command runs in."""
    if warm is not None:
        from retrieval.daemon import check_served

        check_served(gallery, warm)
        return nullcontext(warm)
    from retrieval.engine import QueryEngine
    from retrieval.gallery import Gallery

    return QueryEngine(Gallery(gallery))


def _show(hits: list[Hit], *, as_json: bool, paths: bool, null: bool) -> None:
    from retrieval.output import choose_format, reader_may_leave, write_hits

    _needed(hits)
    form = choose_format(sys.stdout, as_json=as_json, paths=paths, null=null)
    with reader_may_leave(sys.stdout):
        write_hits(hits, form, sys.stdout)
        sys.stdout.flush()


def _needed(found: object) -> None:
    if not found:
        say("nothing found")
        raise typer.Exit(1)


def say(line: str) -> None:
    """Tell the person something: on stderr, because stdout is for results."""
    typer.echo(line, err=True)


def main() -> None:
    """Run the command line; exit codes: 0 ok, 1 nothing found, 2 wrong use, 3 gallery problem, 130 interrupted."""
    if sys.argv[1:2] and sys.argv[1] in ("search", "similar", "daemon") and not asks_many(sys.argv):
        # The few small products of one query lose more by waiting for a second BLAS thread than it can gain:
        # on a busy machine a cold query took 1.19 s with two threads and 0.12 s with one.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except RetrievalError as error:
        say(f"photoseek: {error.message}")
        if error.hint:
            say(f"           {error.hint}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
