"""``photoseek label``, ``tag`` and ``classify``: labels by people, and labels predicted by a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from retrieval.commands import values
from retrieval.commands.options import GalleryOption, JsonOption
from retrieval.commands.say import others_go_on, say
from retrieval.errors import QueryError

LabelsOption = Annotated[
    list[str] | None,
    typer.Option("--labels", help="builtin, a list (cat,dog,car; repeatable), or a file with one label per line."),
]
TemplatesOption = Annotated[
    str,
    typer.Option(
        "--templates", help="Prompt templates: model (its own), 1, 7, 80 (CLIP's), or a file with {} in each line."
    ),
]


def label(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURE...", help="Pictures or folders in the gallery, or id:N; -: paths from stdin."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            "-t",
            help="Add tags: beach,sea (repeatable).",
            autocompletion=values.of_gallery(values.people_tags, commas=True),
        ),
    ] = None,
    remove_tag: Annotated[
        list[str] | None,
        typer.Option(
            "--remove-tag",
            help="Remove some of your tags.",
            autocompletion=values.of_gallery(values.people_tags, commas=True),
        ),
    ] = None,
    caption: Annotated[str | None, typer.Option("--caption", "-c", help="Set your caption.")] = None,
    remove_caption: Annotated[bool, typer.Option("--remove-caption", help="Remove your caption.")] = False,
    rating: Annotated[
        str,
        typer.Option(
            "--rating",
            metavar="STARS",
            help="Rate: 1 to 5 stars, 0 for none, rejected; remove takes your rating away.",
            autocompletion=values.one_of("1", "2", "3", "4", "5", "0", "rejected", "remove"),
        ),
    ] = "",
    favourite: Annotated[
        bool | None, typer.Option("--favourite/--no-favourite", help="Make the pictures favourites, or no longer.")
    ] = None,
    hide: Annotated[
        bool | None, typer.Option("--hide/--unhide", help="Leave the pictures out of every list, or no longer.")
    ] = None,
    import_xmp: Annotated[
        bool,
        typer.Option("--import-xmp", help="Import keywords, descriptions, ratings from XMP sidecars and JPEGs."),
    ] = False,
    write_xmp: Annotated[
        bool,
        typer.Option(
            "--write-xmp",
            help="Write your tags, captions and ratings into XMP sidecars; only print it without --yes or a change.",
        ),
    ] = False,
    embed: Annotated[
        bool,
        typer.Option("--embed", help="With --write-xmp: write into the JPEG, PNG and WebP files, not into sidecars."),
    ] = False,
    undo_xmp: Annotated[
        bool, typer.Option("--undo-xmp", help="Take what --write-xmp wrote out of all files again (with --yes).")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Carry out --write-xmp or --undo-xmp.")] = False,
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or change the tags, captions and ratings of pictures. Predicted tags are stored separately."""
    from retrieval.gallery import Gallery
    from retrieval.indexing.progress import counted
    from retrieval.labels.labelling import LabelEdit, edit_labels, labels_in_order, parse_rating
    from retrieval.labels.named_pictures import named_in
    from retrieval.labels.output import edit_line, import_lines, write_labels, write_written, written_line
    from retrieval.labels.sidecars import import_xmp as take_over
    from retrieval.labels.xmp_embedding import embed_xmp
    from retrieval.labels.xmp_writing import WriteReport
    from retrieval.labels.xmp_writing import write_xmp as write_out
    from retrieval.maintenance.label_backups import keep_labels
    from retrieval.tag_text import split_names

    opened, pictures = Gallery(gallery), named_in(pictures or ())
    given = (tag, remove_tag, remove_caption, rating)
    changes = any(given) or any(each is not None for each in (caption, favourite, hide))
    if import_xmp + undo_xmp + write_xmp > 1:
        raise QueryError("--import-xmp, --write-xmp and --undo-xmp exclude each other", "give one of them")
    if embed and not write_xmp:
        raise QueryError("--embed says where to write, but not what", "add --write-xmp")
    if yes and not (write_xmp or undo_xmp):
        raise QueryError("--yes says that something is to be written, but not what", "add --write-xmp")
    if (import_xmp or undo_xmp) and changes:
        name = "--import-xmp" if import_xmp else "--undo-xmp"
        raise QueryError(f"{name} cannot be combined with other changes", "set tags and captions in a second command")
    show = counted(sys.stderr, "pictures")
    if import_xmp:
        with others_go_on("picture", pictures) as refused:
            for line in import_lines(take_over(opened, pictures, on_progress=show, refused=refused)):
                say(line)
        keep_labels(opened)
        return
    if not pictures and (changes or not (write_xmp or undo_xmp)):
        raise QueryError("no picture was given", "name a picture or a folder in the gallery, or id:N")
    problems = False
    with others_go_on("picture", pictures) as refused:
        if changes:
            tags, removed = split_names(tag or ()), split_names(remove_tag or ())
            stars, without = parse_rating(rating) if rating else (None, False)
            edit = LabelEdit(tuple(tags), tuple(removed), caption, remove_caption, stars, without, favourite, hide)
            say(edit_line(edit_labels(opened, pictures, edit, refused)))
            refused = None if refused is None else lambda *_: None  # reported already
            keep_labels(opened)
        if write_xmp or undo_xmp:
            dry_run = not (yes or changes)
            report = WriteReport()
            if not embed:
                report = write_out(opened, pictures, dry_run=dry_run, undo=undo_xmp, on_progress=show, refused=refused)
            if embed or undo_xmp:
                silent = refused if embed or refused is None else lambda *_: None  # reported already
                inside = embed_xmp(opened, pictures, dry_run=dry_run, undo=undo_xmp, on_progress=show, refused=silent)
                report = report.with_more(inside)
            problems = bool(report.problems)
            write_written(report, sys.stdout, as_json=as_json)
            say(written_line(report, dry_run=dry_run))
        elif not changes:
            with opened.reader() as reader:
                write_labels(labels_in_order(reader, pictures, refused), sys.stdout, as_json=as_json)
    if problems:
        raise SystemExit(3)


def tag(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders in the gallery; default: all pictures.")] = None,
    labels: LabelsOption = None,
    templates: TemplatesOption = "model",
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="Maximum number of tags per picture.")] = 3,
    min_probability: Annotated[
        float, typer.Option("--min-probability", min=0, max=1, help="Omit tags below this probability.")
    ] = 0.1,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Model whose embeddings are used; default: the one that searches use.",
            autocompletion=values.of_gallery(values.towers),
        ),
    ] = "",
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict tags for the pictures of the gallery. They replace earlier predictions, never your own tags."""
    from retrieval.gallery import Gallery
    from retrieval.indexing.progress import counted
    from retrieval.labels.output import report_line, write_tag_report
    from retrieval.labels.tagging import tag_gallery
    from retrieval.labels.vocabulary import read_labels

    with others_go_on("folder", folders or ()) as refused:
        report = tag_gallery(
            Gallery(gallery),
            read_labels(*labels or ()),
            templates,
            model=model or None,
            folders=folders or (),
            top=top,
            min_probability=min_probability,
            on_progress=counted(sys.stderr, "pictures"),
            refused=refused,
        )
        write_tag_report(report, sys.stdout, as_json=as_json)
        say(report_line(report))


def classify(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="Picture files, or id:N.")],
    labels: LabelsOption = None,
    templates: TemplatesOption = "model",
    top: Annotated[int, typer.Option("--top", "-n", min=0, help="Number of labels per picture; 0: all.")] = 5,
    model: Annotated[
        str, typer.Option("--model", help="Encoder (see: photoseek models).", autocompletion=values.models)
    ] = "",
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Classify pictures with given labels. The probability of each label is printed; the pictures need not be in the
    gallery."""
    from retrieval.encoders.choice import choose_encoder
    from retrieval.gallery import Gallery
    from retrieval.labels.classify import classify as classified
    from retrieval.labels.classify import files_of
    from retrieval.labels.output import write_classified
    from retrieval.labels.vocabulary import read_labels

    opened = Gallery(gallery)
    encoder = choose_encoder(opened, model or None)
    words = read_labels(*labels or ())
    with others_go_on("picture", pictures) as refused:
        files = files_of(opened, pictures, refused)
        found = classified(encoder, files, words, templates, top=top, refused=refused)
        write_classified(found, sys.stdout, as_json=as_json)
