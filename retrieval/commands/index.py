"""``photoseek index``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands import values
from retrieval.commands.options import GalleryOption
from retrieval.commands.say import others_go_on, say
from retrieval.streams import plural, work_goes_on

if TYPE_CHECKING:
    from retrieval.encoders.base import Encoder
    from retrieval.faces.run import FaceReport
    from retrieval.gallery import Gallery
    from retrieval.indexing.progress import JsonProgress
    from retrieval.indexing.report import IndexReport
    from retrieval.reading.run import TextReport


def index(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, tar or parquet files, or s3://BUCKET/PREFIX; default: all indexed before."),
    ] = None,
    gallery: GalleryOption = None,
    model: Annotated[
        str, typer.Option("--model", help="Encoder (see: photoseek models).", autocompletion=values.models)
    ] = "",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Exclude matching files from now on, in .gitignore syntax (repeatable)."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", help="Include again what --exclude, forget or the defaults exclude (repeatable)."),
    ] = None,
    no_exclude: Annotated[bool, typer.Option("--no-exclude", help="Remove all exclusions of these folders.")] = False,
    index_spec: Annotated[
        str,
        typer.Option(
            "--index",
            "--index-spec",
            help="Type of vector index, e.g. Exact, SQfp16, HNSW32; or the server that keeps it: "
            "milvus+http://HOST:PORT, milvus:///FILE.db, pgvector; auto: by gallery size.",
        ),
    ] = "",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="auto, bf16, fp32 or int8 [env: PHOTOSEEK_PRECISION].")
    ] = "",
    gpu_decode: Annotated[
        bool, typer.Option("--gpu-decode", help="Also decode plain JPEGs on the GPU (needs --device cuda).")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Run torch.compile first: for large folders and torch models only.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Number of threads, or of Ray workers; 0: automatic.")
    ] = 0,
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            help="What reads and encodes: local (this machine) or ray (a cluster; needs photoseek[ray]).",
            autocompletion=values.one_of(*values.EXECUTORS),
        ),
    ] = "local",
    address: Annotated[
        str,
        typer.Option(
            "--address", help="Ray cluster, HOST:PORT; local: this machine alone. Default: the cluster that runs here."
        ),
    ] = "",
    cpus_per_worker: Annotated[
        int, typer.Option("--cpus-per-worker", min=0, help="Cores of each Ray worker; 0: automatic.")
    ] = 0,
    gpus_per_worker: Annotated[
        float,
        typer.Option("--gpus-per-worker", min=0.0, help="GPUs of each Ray worker, 0.25 for four on one; 0: automatic."),
    ] = 0.0,
    frames_per_minute: Annotated[
        int,
        typer.Option(
            "--frames-per-minute", min=1, max=60, help="Most frames to search in a minute of a new or changed video."
        ),
    ] = 10,
    retry_failures: Annotated[
        bool, typer.Option("--retry-failures", help="Also retry unreadable files that have not changed.")
    ] = False,
    verify_content: Annotated[
        bool, typer.Option("--verify-content", help="Read every file again, even if its size and times are unchanged.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove pictures whose folders are missing: the folders were deleted on purpose."),
    ] = False,
    archives: Annotated[
        bool,
        typer.Option("--archives/--no-archives", help="Also index pictures in tar and parquet files of the folders."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what a run would do; nothing is written, no model is loaded.")
    ] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Print the seconds of each stage at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
    ocr: Annotated[
        bool | None,
        typer.Option(
            "--ocr/--no-ocr",
            help="Also read the words in pictures, in the background and from now on (needs photoseek[ocr]); "
            "find them with --text.",
            show_default=False,
        ),
    ] = None,
    faces: Annotated[
        bool | None,
        typer.Option(
            "--faces/--no-faces",
            help="Also look for faces and group them by person, from now on (needs photoseek[faces]); nothing leaves "
            "this machine. See: photoseek people.",
            show_default=False,
        ),
    ] = None,
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails/--no-thumbnails", help="Make the web page's thumbnails now, not when they are first shown."
        ),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on watching the folders afterwards (see: photoseek watch).")
    ] = False,
    json_progress: Annotated[
        bool,
        typer.Option(
            "--json-progress",
            help="Progress for programs: one JSON object per line on stdout, at most four per second, with event "
            "(begin, progress), stage, done, total, rate, failed, seconds_left; the last one has event report.",
        ),
    ] = False,
) -> None:
    """Index picture folders. Run it again at any time: only new and changed files are processed."""
    from retrieval import output
    from retrieval.config.values import setting
    from retrieval.encoders.choice import advice, choose_for_indexing
    from retrieval.errors import SettingsError
    from retrieval.gallery import Gallery
    from retrieval.indexing.comparison import Looks
    from retrieval.indexing.dry_run import DryRun
    from retrieval.indexing.executor import MakeExecutor, on_this_machine
    from retrieval.indexing.indexer import Indexer
    from retrieval.indexing.progress import JsonProgress, shown_progress
    from retrieval.indexing.wishes import Wishes
    from retrieval.interrupts import exit_code, stop_on_interrupt
    from retrieval.maintenance.label_backups import keep_labels
    from retrieval.pictures.device_images import device_decoder
    from retrieval.pictures.passed_over import nothing_indexed
    from retrieval.streams import plural, printable

    if ocr:
        from retrieval.reading.models import PACKAGED as READING

        READING.check_installed()
    if faces:
        from retrieval.faces.models import PACKAGED as FACES

        FACES.check_installed()
    if executor not in values.EXECUTORS:
        raise SettingsError(f"there is no executor {executor!r}", f"use one of {', '.join(values.EXECUTORS)}")
    if executor == "ray" and gpu_decode:
        raise SettingsError("--gpu-decode is for the GPU of this machine", "omit it, or --executor ray")
    opened = Gallery(gallery)
    everywhere = [*setting("exclude"), *(f"!{pattern}" for pattern in setting("include"))]
    told = JsonProgress(sys.stdout) if json_progress else None
    quiet = quiet or json_progress

    show_progress = None if told is None else told.show
    stopping = "stopping after the pictures in flight; nothing is lost ..."

    def begin(name: str, on: str | None) -> None:
        if told is not None:
            told.begin(str(opened.path), name, on)
        if not quiet:
            say(f"gallery {opened.path}")
            say("dry run: nothing is written" if on is None else f"model   {name} on {on}")

    if dry_run and ocr:
        say("dry run: the words in pictures that were not read yet would be read after it")

    if dry_run and faces:
        say("dry run: faces would be looked for after it")

    def begin_run() -> None:
        from retrieval.commands.servers import remember_index_server

        remember_index_server(index_spec)
        begin(encoder.spec.name, encoder.device)
        if not quiet:
            for line in advice(encoder.spec):
                say(line)

    if not dry_run:
        opened.bring_up_to_date()
        encoder = choose_for_indexing(
            opened, model or None, device=device, precision=precision or None, compiled=compiled
        )
        make_executor: MakeExecutor = on_this_machine
        if executor == "local":
            workers = workers or encoder.streams
        else:
            from retrieval.indexing.cluster.on_ray import Cluster, on_ray

            cluster = Cluster(
                address or None, cpus_per_worker or None, gpus_per_worker or None, device, precision or None,
                lambda line: None if quiet else say(line),
            )  # fmt: skip
            make_executor = on_ray(cluster)
        indexer = Indexer(
            opened,
            encoder,
            workers=workers or None,
            decoder=device_decoder(encoder) if gpu_decode else None,
            frames_per_minute=frames_per_minute,
            executor=make_executor,
        )
    with others_go_on("folder", folders or ()) as refused:
        with (
            work_goes_on(sys.stdout),
            stop_on_interrupt(lambda: say(stopping)) as stop,
            shown_progress(sys.stderr, quiet=quiet) as show,
        ):
            if dry_run:
                report = DryRun(opened, model=model or None, precision=precision or None).run(
                    folders or (),
                    Wishes(exclude or (), include or (), no_exclude, everywhere),
                    Looks(retry_failures, verify_content, prune, archives),
                    index_spec=index_spec or None,
                    on_begin=lambda name: begin(name, None),
                    on_progress=show_progress or show,
                    stop=stop,
                    refused=refused,
                )
            else:
                report = indexer.run(
                    folders or (),
                    exclude=exclude or (),
                    include=include or (),
                    no_exclude=no_exclude,
                    everywhere=everywhere,
                    index_spec=index_spec or None,
                    retry_failures=retry_failures,
                    verify_content=verify_content,
                    prune=prune,
                    archives=archives,
                    on_begin=begin_run,
                    on_progress=show_progress or show,
                    stop=stop,
                    refused=refused,
                )
                keep_labels(opened)
        if thumbnails and not dry_run and not report.interrupted:
            started = time.monotonic()
            _make_thumbnails(opened, quiet=quiet)
            report.seconds["thumbnails"] = time.monotonic() - started
        if not dry_run:
            report.text = _read_text(opened, ocr, encoder, report, told, retry_failures=retry_failures, quiet=quiet)
            if report.text is not None:
                report.seconds["words"] = report.text.seconds
            report.faces = _find_faces(opened, faces, report, told, retry_failures=retry_failures, quiet=quiet)
            if report.faces is not None:
                report.seconds["faces"] = report.faces.seconds
        if told is not None:
            told.end(report)
        for problem in report.problems:
            kept = plural(problem.images_kept, "picture is", "pictures are")
            say(f"{printable(problem.path)}: {problem.reason}; its {kept} kept")
        if any(problem.is_absence for problem in report.problems):
            say("if they were deleted on purpose, run: photoseek index --prune")
        again = "would be indexed again" if dry_run else "is indexed again"
        for path in report.lifted:
            say(f"{printable(path)}: had been forgotten; it {again} because it was named")
        if not quiet:
            output.write_pairs(output.report_rows(report), sys.stderr)
        if profile:
            output.write_pairs(output.profile_rows(report, workers or 1), sys.stderr)
        if report.failures_known and not quiet and not dry_run:
            failing = plural(report.failures_known, "file cannot", "files cannot")
            say(f"{failing} be used; list them: photoseek info --failures")
        if report.failures_passing and not quiet:
            passing = f"{report.failures_passing:,} of them may be temporary"
            say(f"{passing}: they are retried in the next run")
        if report.still_searching_with is not None:
            ahead = f"{report.still_searching_with}, which has encoded more pictures than {report.encoder}"
            say(f"searches continue with {ahead};")
            say(f"to finish the change, run: photoseek index --model {report.encoder}")
        if report.words_by is not None and not quiet:
            say(f"searches continue with {report.words_by}, which understands text; to find similar pictures")
            say(f"with {report.encoder}, run: photoseek similar PHOTO --model {report.encoder}")
        if report.interrupted:
            say("stopped early; " + ("not all files were checked" if dry_run else "the next run continues from here"))
            raise SystemExit(exit_code())
        if watch and not dry_run:
            from retrieval.commands.watch import keep_watching

            keep_watching(opened, folders or [], None, model=model, quiet=quiet)
        elif not report.images:
            say(nothing_indexed(report.failures_known, report.passed_over))
            raise SystemExit(1)


def _read_text(
    gallery: Gallery,
    asked: bool | None,
    encoder: Encoder,
    report: IndexReport,
    told: JsonProgress | None,
    *,
    retry_failures: bool,
    quiet: bool,
) -> TextReport | None:
    """Read words in pictures, if requested now, by the setting, or before; a request is remembered."""
    from retrieval.config.values import setting

    with gallery.reader() as reader:
        remembered = reader.reads_text()
    if asked is not None and asked != remembered:
        with gallery.writer(admits_runs=True) as catalog:
            catalog.set_reads_text(asked)
    wanted = next(each for each in (asked, setting("index.ocr"), remembered) if each is not None)
    if not wanted or report.interrupted:
        return None
    from retrieval.reading.models import PACKAGED
    from retrieval.reading.run import read_texts

    if not PACKAGED.are_installed():
        say(f"words in pictures are not read here; for that, run: {PACKAGED.install}")
        return None
    with _told_progress("text", told, quiet=quiet) as (tell, stop):
        found = read_texts(gallery, encoder=encoder, retry_failures=retry_failures, on_progress=tell, stop=stop)
        report.interrupted |= stop()
    return found


def _find_faces(
    gallery: Gallery,
    asked: bool | None,
    report: IndexReport,
    told: JsonProgress | None,
    *,
    retry_failures: bool,
    quiet: bool,
) -> FaceReport | None:
    """Look for faces, if requested now or before; a request is remembered."""
    with gallery.reader() as reader:
        remembered = reader.finds_faces()
    if asked is not None and asked != remembered:
        with gallery.writer(admits_runs=True) as catalog:
            catalog.set_finds_faces(asked)
    if not (remembered if asked is None else asked) or report.interrupted:
        return None
    from retrieval.faces.models import PACKAGED
    from retrieval.faces.run import find_faces

    if not PACKAGED.are_installed():
        say(f"faces are not looked for here; for that, run: {PACKAGED.install}")
        return None
    with _told_progress("faces", told, quiet=quiet) as (tell, stop):
        found = find_faces(gallery, retry_failures=retry_failures, on_progress=tell, stop=stop)
        report.interrupted |= stop()
    return found


@contextmanager
def _told_progress(
    stage: str, told: JsonProgress | None, *, quiet: bool
) -> Iterator[tuple[Callable[[int, int], None], Callable[[], bool]]]:
    """Shows the progress of work on contents: a function for (done, total), and one that asks whether to stop."""
    from retrieval.indexing.progress import shown_progress
    from retrieval.indexing.report import Progress
    from retrieval.interrupts import stop_on_interrupt

    started = time.monotonic()
    with (
        work_goes_on(sys.stdout),
        stop_on_interrupt(lambda: say("stopping; what was found is kept ...")) as stop,
        shown_progress(sys.stderr, quiet=quiet) as show,
    ):

        def tell(done: int, total: int) -> None:
            progress = Progress(stage, done, total, encoded=done, seconds=time.monotonic() - started)
            show(progress) if told is None else told.show(progress)

        yield tell, stop


def _make_thumbnails(gallery: Gallery, *, quiet: bool) -> None:
    from retrieval.config.values import setting
    from retrieval.indexing.progress import counted
    from retrieval.interrupts import stop_on_interrupt
    from retrieval.rendering.ahead import make_ahead

    def silent(_done: int, _total: int) -> None:
        pass

    with stop_on_interrupt(lambda: say("stopping; the other thumbnails are made when they are shown")) as stop:
        show = silent if quiet else counted(sys.stderr, "pictures have their thumbnails")
        made = make_ahead(gallery, max_bytes=setting("serve.thumbnails-mib") << 20, on_progress=show, stop=stop)
    if not quiet:
        full = "; the thumbnail store is full" if made.is_full else ""
        say(f"thumbnails: {made.made:,} made, {plural(made.known, 'was', 'were')} already present{full}")
