"""``photoseek people``: the persons in pictures, their names, and corrections of what grouping has made of faces."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands import values
from retrieval.commands.options import GalleryOption, JsonOption
from retrieval.commands.say import needed, others_go_on, say
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from pathlib import Path

    from retrieval.gallery import Gallery
    from retrieval.labels.people_edits import PeopleEdit

people_app = typer.Typer(
    help="List, name, merge and split the people in pictures, and delete them.",
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)

WhoArgument = Annotated[
    str,
    typer.Argument(
        metavar="WHO",
        help="A person by name, or a group of faces by number.",
        autocompletion=values.of_gallery(values.persons),
    ),
]
FacesArgument = Annotated[
    list[str],
    typer.Argument(metavar="PICTURE...", help="Pictures or folders, id:N, or faces as face:N; -: paths from stdin."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Also those that are hidden.")]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Carry it out; without this flag, only print what would be done.")
]


@contextmanager
def _copied(path: Path | None) -> Iterator[Gallery]:
    """The gallery; after an edit, labels are copied if that is due."""
    from retrieval.gallery import Gallery
    from retrieval.maintenance.label_backups import keep_labels

    gallery = Gallery(path)
    yield gallery
    keep_labels(gallery)


@people_app.callback()
def people(
    ctx: typer.Context, hidden: AllOption = False, gallery: GalleryOption = None, as_json: JsonOption = False
) -> None:
    """List, name, merge and split the people in pictures, and delete them. Without a command: list them."""
    if ctx.invoked_subcommand is None:
        list_(hidden=hidden, gallery=gallery, as_json=as_json)


@people_app.command("list")
def list_(hidden: AllOption = False, gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """List the persons, those with a name first, by number of pictures."""
    from retrieval.catalog.persons import all_persons
    from retrieval.faces.lists import write_persons
    from retrieval.gallery import Gallery

    with Gallery(gallery).reader() as reader:
        found = all_persons(reader, hidden=hidden)
        if not found and not reader.finds_faces():
            say("this gallery has no faces; to find them, run: photoseek index --faces")
        needed(found)
        write_persons(found, sys.stdout, as_json=as_json)


@people_app.command()
def show(who: WhoArgument, gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """List a person's faces and the pictures with them, confirmed ones first."""
    from retrieval.catalog.faces import faces_of
    from retrieval.catalog.persons import person_named
    from retrieval.faces.lists import write_faces_of
    from retrieval.gallery import Gallery

    with Gallery(gallery).reader() as reader:
        found = faces_of(reader, person_named(reader, who).id)
        needed(found)
        write_faces_of(reader, found, sys.stdout, as_json=as_json)


@people_app.command()
def name(
    who: WhoArgument,
    new: Annotated[str, typer.Argument(metavar="NAME", help="The name to give.")],
    gallery: GalleryOption = None,
) -> None:
    """Name a group of faces, or rename a person; or say whose a face is, with face:N as WHO."""
    from retrieval.labels.people import name_person

    with _copied(gallery) as opened:
        done = name_person(opened, who, new)
    say(f"{printable(who)} is now {printable(done.person)}, with {plural(done.faces, 'face')}")


@people_app.command()
def merge(
    who: WhoArgument,
    others: Annotated[list[str], typer.Argument(metavar="WHO...", help="Persons that are the same.")],
    gallery: GalleryOption = None,
) -> None:
    """Make several persons one; the first name remains."""
    from retrieval.labels.people import merge_persons

    with _copied(gallery) as opened:
        done = merge_persons(opened, who, others)
    say(f"{printable(done.person)} now has {plural(done.faces, 'face')} (undo: photoseek people undo)")


@people_app.command()
def split(who: WhoArgument, pictures: FacesArgument, gallery: GalleryOption = None) -> None:
    """Give a person's faces in these pictures to a new person."""
    from retrieval.labels.people import split_person

    def told(done: PeopleEdit) -> str:
        moved = f"{plural(done.faces, 'face')} of {printable(who)} now are person {done.person}"
        return f"{moved}; to name it, run:\nphotoseek people name {done.person} NAME"

    _by_faces(split_person, who, pictures, gallery, told)


@people_app.command()
def confirm(who: WhoArgument, pictures: FacesArgument, gallery: GalleryOption = None) -> None:
    """Say that these pictures show a person: the faces taken for the person, or else the only face there."""
    from retrieval.labels.people import confirm_faces

    _by_faces(confirm_faces, who, pictures, gallery, lambda done: f"{_faces(done)} {printable(done.person)}")


@people_app.command()
def reject(who: WhoArgument, pictures: FacesArgument, gallery: GalleryOption = None) -> None:
    """Say that a person's faces in these pictures are somebody else."""
    from retrieval.labels.people import reject_faces

    _by_faces(reject_faces, who, pictures, gallery, lambda done: f"{_faces(done)} not {printable(done.person)}")


def _faces(done: PeopleEdit) -> str:
    return plural(done.faces, "face is", "faces are")


def _by_faces(
    edit: Callable[..., PeopleEdit],
    who: str,
    pictures: list[str],
    gallery: Path | None,
    told: Callable[[PeopleEdit], str],
) -> None:
    """Make an edit of a person by the faces in some pictures, and say what it did."""
    from retrieval.labels.named_pictures import named_in

    named = named_in(pictures)
    with others_go_on("picture", named) as refused, _copied(gallery) as opened:
        done = edit(opened, who, named, refused)
        say(f"{told(done)} (undo: photoseek people undo)")


@people_app.command()
def hide(
    who: WhoArgument,
    show_again: Annotated[bool, typer.Option("--show", help="Show a hidden person again.")] = False,
    gallery: GalleryOption = None,
) -> None:
    """Leave a person out of lists and of the web page; searches by name still find it."""
    from retrieval.labels.people import hide_person

    with _copied(gallery) as opened:
        done = hide_person(opened, who, hidden=not show_again)
    say(f"{printable(done.person)} is {'shown again' if show_again else 'hidden'}")


@people_app.command()
def undo(gallery: GalleryOption = None) -> None:
    """Undo the last edit of people; again, the one before it."""
    from retrieval.labels.people import undo_people

    with _copied(gallery) as opened:
        say(f"undone: {printable(undo_people(opened))}")


@people_app.command()
def regroup(gallery: GalleryOption = None) -> None:
    """Group again all faces that belong to no named person; named persons and what people said stay."""
    from retrieval.faces.grouping import regroup_faces
    from retrieval.gallery import Gallery

    done = regroup_faces(Gallery(gallery))
    joined = plural(len(done.joined), "face joins", "faces join")
    say(f"{joined} persons; {plural(len(done.new), 'group')} without a name")


@people_app.command()
def forget(
    everything: Annotated[
        bool, typer.Option("--all", help="Every face, embedding, group and name, and what people said about them.")
    ] = False,
    yes: YesOption = False,
    gallery: GalleryOption = None,
) -> None:
    """Delete all that the gallery knows of faces and people, permanently; pictures stay."""
    from retrieval.catalog.faces import face_counts
    from retrieval.errors import QueryError
    from retrieval.gallery import Gallery
    from retrieval.indexing.forgetting import LOG_LINES, forget_faces

    if not everything:
        raise QueryError("it was not said what to delete", "to delete all faces and persons: --all")
    opened = Gallery(gallery)
    if not yes:
        with opened.reader() as reader:
            counts = face_counts(reader)
        say(f"would delete {plural(counts.faces, 'face')} and {plural(counts.groups, 'person', 'persons')},")
        say(f"{counts.named:,} with a name; nothing is deleted without --yes, and then it cannot be undone")
        return
    count, is_log_empty = forget_faces(opened)
    say(f"deleted {plural(count, 'face')} and all persons; runs no longer look for faces")
    say("backups made before still have them: delete those too")
    if not is_log_empty:
        for line in LOG_LINES:
            say(line)
        raise SystemExit(3)
