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
    typer.Option("--labels", help="builtin, cat,dog,car (or repeat it), or a file with a label a line."),
]
TemplatesOption = Annotated[
    str,
    typer.Option("--templates", help="Prompts: model (its own), 1, 7, 80 (CLIP's), or a file with {} in each line."),
]


def label(
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="PICTURE...", help="Pictures or folders of the gallery, or id:N.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            "-t",
            help="Add tags: beach,sea (or repeat it).",
            autocompletion=values.of_gallery(values.people_tags, commas=True),
        ),
    ] = None,
    remove_tag: Annotated[
        list[str] | None,
        typer.Option(
            "--remove-tag",
            help="Take some of your tags away.",
            autocompletion=values.of_gallery(values.people_tags, commas=True),
        ),
    ] = None,
    caption: Annotated[str | None, typer.Option("--caption", "-c", help="Set your caption.")] = None,
    remove_caption: Annotated[bool, typer.Option("--remove-caption", help="Take your caption away.")] = False,
    import_xmp: Annotated[
        bool, typer.Option("--import-xmp", help="Take over keywords and descriptions from XMP sidecars and JPEGs.")
    ] = False,
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tags and captions of pictures: show them, or change yours. What a model predicts is kept apart."""
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
            raise QueryError("--import-xmp stands alone", "give tags and captions in a second command")
        with others_go_on("picture", pictures or ()) as refused:
            show = counted(sys.stderr, "pictures")
            for line in import_lines(take_over(opened, pictures or (), on_progress=show, refused=refused)):
                say(line)
        return
    if not pictures:
        raise QueryError("no picture is named", "give a picture or a folder of the gallery, or id:N")
    if changes:
        tags, removed = split_names(tag or ()), split_names(remove_tag or ())
        edit = LabelEdit(tuple(tags), tuple(removed), caption, remove_caption)
        with others_go_on("picture", pictures) as refused:
            say(edit_line(edit_labels(opened, pictures, edit, refused)))
    else:
        with others_go_on("picture", pictures) as refused, opened.reader() as reader:
            write_labels(labels_in_order(reader, pictures, refused), sys.stdout, as_json=as_json)


def tag(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of the gallery; without any: every picture.")
    ] = None,
    labels: LabelsOption = None,
    templates: TemplatesOption = "model",
    top: Annotated[int, typer.Option("--top", "-n", min=1, help="How many tags a picture at most.")] = 3,
    min_probability: Annotated[
        float, typer.Option("--min-probability", min=0, max=1, help="Leave out tags below this probability.")
    ] = 0.1,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Whose embeddings; default: those that searches use.",
            autocompletion=values.of_gallery(values.towers),
        ),
    ] = "",
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the model predict tags for the pictures of the gallery. They replace its earlier ones, never yours."""
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
    top: Annotated[int, typer.Option("--top", "-n", min=0, help="How many labels a picture; 0: all.")] = 5,
    model: Annotated[
        str, typer.Option("--model", help="Encoder (see: photoseek models).", autocompletion=values.models)
    ] = "",
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which of some labels fits a picture, in probabilities. The picture need not be in the gallery."""
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
