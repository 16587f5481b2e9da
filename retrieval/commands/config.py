"""``photoseek config``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.commands.options import GalleryOption, JsonOption
from retrieval.commands.say import say
from retrieval.commands.values import names_of_settings, values_of_setting
from retrieval.errors import SettingsError
from retrieval.paths import default_gallery_path

if TYPE_CHECKING:
    from retrieval.config.table import Setting

config_app = typer.Typer(
    name="config",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Show and change settings that last. A flag decides before a variable, that before the gallery's file, and "
    "that before your own file.",
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the setting.", autocompletion=names_of_settings)
]
InGalleryOption = Annotated[
    bool, typer.Option("--in-gallery", help="The file in the gallery, which holds for it alone, in place of your own.")
]


@config_app.callback()
def config(context: typer.Context, gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """Show every setting, its value, and where that comes from."""
    if context.invoked_subcommand is not None:
        if as_json or gallery is not None:
            raise SettingsError("flags of config itself stand before a command", "put --gallery behind the command")
        return
    _load(gallery)
    from retrieval.config.values import origins

    found = origins()
    if as_json:
        for each in found:
            line = {"name": each.row.name, "value": each.value, "source": each.source, "help": each.row.help}
            typer.echo(json.dumps(line, ensure_ascii=False))
        return
    from retrieval.streams import printable

    shown = [(each.row.name, _shown(each.row, each.value), each.source) for each in found]
    wide, wider = (max(len(row[at]) for row in shown) for at in (0, 1))
    for name, value, source in shown:
        typer.echo(printable(f"{name:{wide}}  {value:{min(wider, 40)}}  {source}"))
    _tell_exclusions(gallery)


@config_app.command()
def get(name: NameArgument, gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """Print the value of a setting; lists one per line."""
    from retrieval.config.checking import row_of

    row = row_of(name)
    _load(gallery)
    from retrieval.config.values import setting
    from retrieval.streams import printable

    value = setting(row.name)
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False))
    else:
        for each in value if isinstance(value, list) else [value]:
            typer.echo(printable(_plain(row, each)))


@config_app.command("set")
def set_(
    name: NameArgument,
    values: Annotated[
        list[str], typer.Argument(metavar="VALUE...", help="Its value.", autocompletion=values_of_setting)
    ],
    gallery: GalleryOption = None,
    in_gallery: InGalleryOption = False,
) -> None:
    """Set a setting. Comments in the file stay."""
    from retrieval.config.checking import row_of
    from retrieval.config.editing import change
    from retrieval.config.kinds import Texts

    row, path = row_of(name), _path(gallery, in_gallery=in_gallery)
    if in_gallery and not row.in_gallery:
        raise SettingsError(f"{row.name} may only be set in your own file", "omit --in-gallery")
    is_list = isinstance(row.kind, Texts)
    if len(values) > 1 and not is_list:
        raise SettingsError(f"{row.name} has one value", "put it in quotes")
    try:
        value: Any = row.kind.from_toml(values) if is_list else row.kind.from_text(values[0])
    except ValueError as error:
        raise SettingsError(f"{row.name} cannot be {' '.join(values)[:60]!r}", f"use {error}") from error
    if row.name in ("exclude", "include"):
        from retrieval.indexing.ignore import parse

        parse(value, row.name)
    change(path, row.name, value)
    if os.environ.get(row.environment):
        say(f"{row.environment} is set, which decides before {path}")


@config_app.command()
def unset(name: NameArgument, gallery: GalleryOption = None, in_gallery: InGalleryOption = False) -> None:
    """Take a setting out of the file, so that its default holds."""
    from retrieval.config.checking import row_of
    from retrieval.config.editing import change

    change(_path(gallery, in_gallery=in_gallery), row_of(name).name, None)


@config_app.command()
def path(gallery: GalleryOption = None, in_gallery: InGalleryOption = False) -> None:
    """Print where the file of settings is; it need not exist."""
    typer.echo(_path(gallery, in_gallery=in_gallery))


@config_app.command()
def edit(gallery: GalleryOption = None, in_gallery: InGalleryOption = False) -> None:
    """Open the file in your editor ($VISUAL, $EDITOR). It is only replaced by a text without errors."""
    from retrieval.config.with_editor import edited

    edited(_path(gallery, in_gallery=in_gallery), in_gallery=in_gallery, is_asked=sys.stdin.isatty(), say=say)


def _path(gallery: Path | None, *, in_gallery: bool) -> str:
    from retrieval.config import files

    if not in_gallery:
        return files.user_file()
    folder = default_gallery_path() if gallery is None else str(gallery)
    if not os.path.isdir(folder):  # noqa: PTH112
        raise SettingsError(f"there is no gallery at {folder}", "create one: photoseek index FOLDER")
    return files.gallery_file(folder)


def _load(gallery: Path | None) -> None:
    from retrieval.config import process
    from retrieval.config.checking import check

    process.begin()
    process.begin_gallery(default_gallery_path() if gallery is None else str(gallery))
    check()


def _plain(row: Setting, value: object) -> str:
    if value is None:
        return f"({row.usual})"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(row: Setting, value: object) -> str:
    return " ".join(value) if isinstance(value, list) else _plain(row, value)


def _tell_exclusions(gallery: Path | None) -> None:
    """Lists the exclusions in the catalog: they belong to folders, and are changed by the commands that made them."""
    from retrieval.errors import RetrievalError
    from retrieval.gallery import Gallery

    opened = Gallery(gallery)
    if not opened.exists():
        return
    try:
        with opened.reader() as reader:
            lines = reader.exclusions().in_words()
    except RetrievalError:  # ``photoseek info`` reports what is wrong
        return
    for line in lines:
        say(f"in the catalog (index --exclude, --include, forget): {line}")
