"""``photoseek export``: a result with its metadata, as a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands import values
from retrieval.commands.answers import ALL, Request, named_mates, open_engine, tell_unknown
from retrieval.commands.options import (
    GalleryOption,
    MinScoreOption,
    RelevantOption,
    TowerOption,
    filter_flags,
    how_many,
    listing_flags,
)
from retrieval.commands.say import needed, say
from retrieval.commands.searching import DEFAULT_LIMIT, find
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.bulk.exporting import Form
    from retrieval.filters import Filter
    from retrieval.rendering.export import Export, ExportReport
    from retrieval.search.pages import Listing


@filter_flags
@listing_flags
def export(
    where: Filter | None,
    listing: Listing | None,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made if it is not there.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT...", help="What to look for, as in search. Without TEXT: all that pass the filter."
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--as",
            help="Pictures as copies (the default), links, resized (JPEG), or none (lists alone).",
            autocompletion=values.one_of("copies", "links", "resized", "none"),
        ),
    ] = "",
    size: Annotated[
        int | None, typer.Option("--size", help="Pixels of the longer side of resized pictures [default: 2048].")
    ] = None,
    quality: Annotated[int, typer.Option("--quality", help="JPEG quality of resized pictures.")] = 90,
    no_location: Annotated[
        bool, typer.Option("--no-location", help="Leave out where pictures were taken (with --size, or --as none).")
    ] = False,
    numbered: Annotated[bool, typer.Option("--numbered", help="Start the file names with the rank.")] = False,
    npy: Annotated[
        bool,
        typer.Option(
            "--npy", help="Embeddings instead of pictures: img_emb_0.npy, metadata_0.parquet (clip-retrieval)."
        ),
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Embeddings instead of pictures, in Parquet files with their metadata.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be written.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            parser=how_many,
            help="Maximum number of hits, or all [default: 10; without TEXT all].",
        ),
    ] = None,
    min_score: MinScoreOption = None,
    relevant: RelevantOption = False,
    gallery: GalleryOption = None,
    model: TowerOption = "",
) -> None:
    """Export pictures with what is known of them to a folder: files, and lists as CSV and JSON.

    Nothing is overwritten. The same command again goes on where it was interrupted. With --npy or --parquet, the
    embeddings of all pictures that pass the filter are exported; photoseek import reads them.
    """
    if npy or parquet:
        _embeddings(folder, where, "npy" if npy else "parquet", gallery, model, is_asked=bool(texts) or npy is parquet)
        return
    from retrieval.filters.filter import filter_words
    from retrieval.indexing.progress import counted
    from retrieval.labels.reading import labels_of
    from retrieval.rendering.export import Export, export_hits
    from retrieval.rendering.resized import Resize
    from retrieval.search.language import parse_arguments, query_words

    resize = Resize(2048 if size is None else size, quality, not no_location)
    wanted = Export(form or ("copies" if size is None else "resized"), resize, numbered, dry_run)
    question = parse_arguments(texts or ())
    terms, where = question.terms, question.where(where)
    asked = Request(terms, where)
    with open_engine(gallery, model=model) as engine:
        tell_unknown(engine, where)
        most = limit if limit is not None else DEFAULT_LIMIT if terms else ALL
        found = find(engine, asked, most, min_score=min_score, relevant=relevant, listing=listing)
        needed(found.hits)
        hits = named_mates(found.hits, asked, engine, listing)
        said = {
            each.image.id: each for each in labels_of(engine.reader, [hit.image.id for hit in hits], engine.encoder_row)
        }
        about = {"query": query_words(terms), "filter": filter_words(where), "model": engine.encoder_row.name}
        report = export_hits(hits, said, folder, wanted, about, counted(sys.stderr, "pictures"))
    _tell(report, len(hits), folder, wanted)
    if report.failed:
        raise SystemExit(3)


def _embeddings(
    folder: Path, where: Filter | None, form: Form, gallery: Path | None, model: str, *, is_asked: bool
) -> None:
    from retrieval.bulk.exporting import export_embeddings
    from retrieval.catalog.stored import chosen_ids
    from retrieval.errors import SettingsError
    from retrieval.gallery import Gallery
    from retrieval.gallery_encoders import named_encoder
    from retrieval.indexing.progress import counted
    from retrieval.output import human_bytes

    if is_asked:
        raise SettingsError(
            "embeddings are exported for a filter, in one form",
            "give --npy or --parquet, and filters such as --under instead of TEXT",
        )
    opened = Gallery(gallery)
    with opened.reader() as reader:
        row = named_encoder(reader.encoders(), model) if model else opened.active_encoder(reader)
        show = counted(sys.stderr, "embeddings")
        done = export_embeddings(reader, row, folder, form, chosen_ids(reader, row, where), on_progress=show)
    say(f"{plural(done.pictures, 'embedding')} by {row.name} in {printable(str(folder))}, {human_bytes(done.bytes)}")


def _tell(report: ExportReport, hits: int, folder: Path, wanted: Export) -> None:
    from retrieval.output import human_bytes

    for placed in report.problems:
        why = "missing, so left out" if placed.result == "missing" else f"not exported: {printable(placed.reason)}"
        say(f"{printable(placed.path)} {why}" if placed.result == "failed" else f"{why}: {printable(placed.path)}")
    done = {"copies": "copied", "links": "linked", "resized": "made smaller", "none": "listed"}[wanted.form]
    count = hits if wanted.form == "none" else report.new
    where = f"{'in' if wanted.form == 'none' else 'to'} {printable(str(folder))}"
    size = f" ({human_bytes(report.bytes)})" if wanted.form == "copies" and report.new else ""
    rest = [(report.there, "there already"), (report.missing, "missing"), (report.failed, "failed")]
    others = "".join(f", {number:,} {what}" for number, what in rest if number)
    if wanted.dry_run:
        say(f"{plural(count, 'picture')}{size} would be {done} {where}{others}; nothing is written")
    else:
        say(f"{plural(count, 'picture')}{size} {done} {where}{others}; what is known of them: pictures.csv, .json")
