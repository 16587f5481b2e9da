"""``photoseek album``: albums of pictures, and saved searches that stay live."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.commands import values
from retrieval.commands.answers import ALL, Form, Request, open_engine, show_hits
from retrieval.commands.options import (
    CsvOption,
    GalleryOption,
    JsonOption,
    LimitOption,
    MinScoreOption,
    NullOption,
    PathsOption,
    RelevantOption,
    given_conditions,
    how_many,
)
from retrieval.commands.say import needed, others_go_on, say
from retrieval.errors import QueryError
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.labels.albums import AlbumEdit

albums_app = typer.Typer(
    help="Make, fill, show and delete albums.", add_completion=False, rich_markup_mode=None, no_args_is_help=True
)

NameArgument = Annotated[
    str, typer.Argument(metavar="ALBUM", help="Name of an album.", autocompletion=values.of_gallery(values.albums))
]
PicturesArgument = Annotated[
    list[str],
    typer.Argument(metavar="PICTURE...", help="Pictures or folders in the gallery, or id:N; -: paths from stdin."),
]


@albums_app.command("list")
def list_(
    deleted: Annotated[bool, typer.Option("--deleted", help="List the albums that were deleted.")] = False,
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the albums."""
    from retrieval.catalog.albums import all_albums
    from retrieval.gallery import Gallery
    from retrieval.search.album_lists import write_albums

    with Gallery(gallery).reader() as reader:
        found = all_albums(reader, deleted=deleted)
        needed(found)
        write_albums(reader, found, sys.stdout, as_json=as_json)


@albums_app.command()
@given_conditions
def create(
    given: dict[str, Any] | None,
    new_album: Annotated[str, typer.Argument(metavar="ALBUM", help="Name of the new album.")],
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURE...", help="Pictures to put in; -: paths from stdin. None: an empty album."),
    ] = None,
    search: Annotated[
        str, typer.Option("--search", help="Make a saved search: the album holds what this finds, at any time.")
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", metavar="N", parser=how_many, help="Of a saved search: the best N."),
    ] = None,
    min_score: MinScoreOption = None,
    relevant: RelevantOption = False,
    gallery: GalleryOption = None,
) -> None:
    """Make an album: of pictures, or with --search or conditions a saved search that stays live."""
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import create_album
    from retrieval.labels.named_pictures import named_in
    from retrieval.search.saved_search import SavedSearch

    is_search = bool(search or given or limit is not None or min_score is not None or relevant)
    if is_search and pictures:
        raise QueryError("an album holds either pictures or what a search finds", "leave one of the two out")
    opened = Gallery(gallery)
    if is_search:
        best = None if limit == ALL else limit
        saved = SavedSearch.typed(search, given or {}, limit=best, min_score=min_score, relevant=relevant)
        with open_engine(gallery) as engine:
            count = len(saved.found(engine))  # a search that fails is not stored
        made = create_album(opened, new_album, recipe=saved.to_text()).name
        say(f"made the album {printable(made)}, which now finds {plural(count, 'picture')}")
        return
    named = named_in(pictures or ())
    with others_go_on("picture", named) as refused:
        done = create_album(opened, new_album, named, refused=refused)
        say(f"made the album {printable(done.name)} of {plural(done.pictures, 'picture')}")


@albums_app.command()
def show(
    name: NameArgument,
    limit: LimitOption = ALL,
    gallery: GalleryOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    paths: PathsOption = False,
    null: NullOption = False,
) -> None:
    """List the pictures of an album, in its order."""
    from retrieval.search.album_lists import album_hits

    form = Form(as_json, as_csv, paths, null)
    with open_engine(gallery) as engine:
        show_hits(album_hits(engine, name, limit), form, Request(), engine)


@albums_app.command()
def add(name: NameArgument, pictures: PicturesArgument, gallery: GalleryOption = None) -> None:
    """Put pictures at the end of an album."""
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import add_to_album
    from retrieval.labels.named_pictures import named_in
    from retrieval.maintenance.label_backups import keep_labels

    opened, named = Gallery(gallery), named_in(pictures)
    with others_go_on("picture", named) as refused:
        _tell(add_to_album(opened, name, named, refused), "added to")
    keep_labels(opened)


@albums_app.command()
def remove(name: NameArgument, pictures: PicturesArgument, gallery: GalleryOption = None) -> None:
    """Take pictures out of an album; they stay in the gallery."""
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import remove_from_album
    from retrieval.labels.named_pictures import named_in
    from retrieval.maintenance.label_backups import keep_labels

    opened, named = Gallery(gallery), named_in(pictures)
    with others_go_on("picture", named) as refused:
        _tell(remove_from_album(opened, name, named, refused), "removed from")
    keep_labels(opened)


@albums_app.command()
def order(name: NameArgument, pictures: PicturesArgument, gallery: GalleryOption = None) -> None:
    """Put pictures of an album first, in this order."""
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import order_album
    from retrieval.labels.named_pictures import named_in

    named = named_in(pictures)
    order_album(Gallery(gallery), name, named)
    say(f"{printable(name)} is in the new order")


@albums_app.command()
def cover(
    name: NameArgument,
    picture: Annotated[str, typer.Argument(help="A picture of the album.")],
    gallery: GalleryOption = None,
) -> None:
    """Choose the picture that stands for an album; without a choice it is the first."""
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import choose_cover

    choose_cover(Gallery(gallery), name, picture)
    say(f"{printable(picture)} stands for {printable(name)}")


@albums_app.command()
def rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    gallery: GalleryOption = None,
) -> None:
    """Give an album another name."""
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import rename_album

    old, now = rename_album(Gallery(gallery), name, new)
    say(f"{printable(old)} is now {printable(now)}")


@albums_app.command()
def delete(
    name: NameArgument,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Carry it out; without this flag, only print what would be done.")
    ] = False,
    gallery: GalleryOption = None,
) -> None:
    """Delete an album, never its pictures; album undelete brings it back."""
    from retrieval.catalog.albums import album_named
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import delete_album

    opened = Gallery(gallery)
    if not yes:
        with opened.reader() as reader:
            album = album_named(reader, name)
        what = "a saved search" if album.recipe is not None else f"an album of {plural(album.pictures, 'picture')}"
        say(f"would delete {printable(album.name)}, {what}; nothing is deleted without --yes")
        return
    album = delete_album(opened, name)
    say(f"deleted the album {printable(album.name)}; its pictures stay (undo: photoseek album undelete)")


@albums_app.command()
def undelete(
    name: Annotated[str, typer.Argument(metavar="ALBUM", help="Name of an album that was deleted.")],
    gallery: GalleryOption = None,
) -> None:
    """Bring back an album that was deleted."""
    from retrieval.gallery import Gallery
    from retrieval.labels.albums import undelete_album

    say(f"the album {printable(undelete_album(Gallery(gallery), name).name)} is back")


def _tell(done: AlbumEdit, what: str) -> None:
    rest = done.pictures - done.changed
    others = f"; {plural(rest, 'was', 'were')} {'there' if what == 'added to' else 'not in it'}" if rest else ""
    say(f"{plural(done.changed, 'picture')} {what} {printable(done.name)}{others}")
