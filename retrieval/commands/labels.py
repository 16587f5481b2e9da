"""``photoseek label``, ``tag`` and ``classify``: what people say about pictures, and what a model believes."""

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
        list[str] | None, typer.Argument(metavar="PICTURE...", help="Pictures or folders in the gallery, or id:N.")
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
    import_xmp: Annotated[
        bool, typer.Option("--import-xmp", help="Import keywords and descriptions from XMP sidecars and JPEGs.")
    ] = False,
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or change the tags and captions of pictures. Predicted tags are stored separately."""
    from retrieval.gallery import Gallery
    from retrieval.indexing.progress import counted
    from retrieval.labels.labelling import LabelEdit, edit_labels, labels_in_order
    from retrieval.labels.output import edit_line, import_lines, write_labels
    from retrieval.labels.sidecars import import_xmp as take_over
    from retrieval.tag_text import split_names

    opened = Gallery(gallery)
    changes = tag or remove_tag or caption is not None or remove_caption
    if import_xmp:
        if changes:
            raise QueryError(
                "--import-xmp cannot be combined with other changes", "set tags and captions in a second command"
            )
        with others_go_on("picture", pictures or ()) as refused:
            show = counted(sys.stderr, "pictures")
            for line in import_lines(take_over(opened, pictures or (), on_progress=show, refused=refused)):
                say(line)
        return
    if not pictures:
        raise QueryError("no picture was given", "name a picture or a folder in the gallery, or id:N")
    if changes:
        tags, removed = split_names(tag or ()), split_names(remove_tag or ())
        edit = LabelEdit(tuple(tags), tuple(removed), caption, remove_caption)
        with others_go_on("picture", pictures) as refused:
            say(edit_line(edit_labels(opened, pictures, edit, refused)))
    else:
        with others_go_on("picture", pictures) as refused, opened.reader() as reader:
            write_labels(labels_in_order(reader, pictures, refused), sys.stdout, as_json=as_json)


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
