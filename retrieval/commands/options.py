"""Flags shared by several commands, each written once; decorators add those of filter, listing and showing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer

from retrieval.commands import values
from retrieval.commands.answers import ALL
from retrieval.filters import conditions
from retrieval.filters.conditions import Condition

GalleryOption = Annotated[
    Path | None,
    typer.Option("--gallery", help="Gallery folder [env: PHOTOSEEK_GALLERY; default: in your data folder]."),
]
TowerOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="Model of the gallery to search with (see: photoseek info).",
        autocompletion=values.of_gallery(values.towers),
    ),
]


def how_many(text: str | int) -> int:
    """A number of hits, or ``all``."""
    if str(text).strip().lower() == "all":
        return ALL
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= ALL:
        raise typer.BadParameter(f"{str(text)[:40]!r} is not a number of hits; give 1, 2, 3, ... or all")
    return number


LimitOption = Annotated[
    int, typer.Option("--limit", "-n", metavar="N", parser=how_many, help="Maximum number of hits, or all.")
]
MinScoreOption = Annotated[
    float | None, typer.Option("--min-score", help="Omit hits below this cosine similarity (-1 to 1).")
]
AllowUrlOption = Annotated[
    bool, typer.Option("--allow-url", help="Allow pictures to be URLs (https://...), which are downloaded.")
]
RelevantOption = Annotated[
    bool, typer.Option("--relevant", help="Show only hits that match the query well; say so if there are none.")
]
OnlyOption = Annotated[
    str,
    typer.Option(
        "--only",
        help="Search only what pictures show (visual), what can be read in them (text), or what they are called: "
        "names, folders, tags, captions and places (names). Default: all, fused.",
        autocompletion=values.one_of("visual", "text", "names"),
    ),
]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Say below each hit why it was found.")]
JsonOption = Annotated[bool, typer.Option("--json", "--jsonl", help="Print one JSON object per line.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]
PathsOption = Annotated[bool, typer.Option("--paths", help="Print one path per line.")]
NullOption = Annotated[bool, typer.Option("-0", "--null", help="Print paths separated by NUL, for xargs -0.")]

_ASKS_NOTHING: dict[Any, Any] = {str: "", bool: False}  # default by type; None for the others


def _filter_flag(condition: Condition, *, is_twin: bool = False) -> Any:
    """The flag of a condition. That of its twin is not listed: the help of the one without ``no-`` covers both."""
    kind: Any = list[str] | None if condition.is_several else _TYPES.get(condition.kind, str)
    flag = "--" + (condition.twin if is_twin else condition.name).replace("_", "-")
    told: dict[str, Any] = {"hidden": True} if is_twin else {"help": f"Only pictures {condition.help}"}
    told["show_default"] = False  # there is none, and typer takes long to find that out
    return Annotated[kind, typer.Option(flag, **told, autocompletion=_offered(condition))]


def _offered(condition: Condition) -> values.Complete:
    """The completions that a shell offers for a condition."""
    if condition.choices:
        return values.one_of(*condition.choices)
    if not condition.names:
        return None
    reads = {
        "folders": values.folders, "tags": values.tags, "format": values.formats, "albums": values.albums,
        "places": values.places, "countries": values.countries, "persons": values.persons,
    }  # fmt: skip
    return values.of_gallery(reads.get(condition.names) or values.column(condition.names), commas=condition.commas)


_TYPES: dict[str, Any] = {"flag": bool, "pixels": int | None, "stars": int | None}
"""Kind of a condition with one value -> the type of its flag, if it is not a text."""

_FILTER_FLAGS: dict[str, Any] = {
    name: _filter_flag(condition, is_twin=name != condition.name) for name, condition in conditions.fields()
}
"""Field of ``Filter`` -> its flag."""

_TWINS = ", ".join(f"--no-{each.name.replace('_', '-')}" for each in conditions.CONDITIONS if each.is_several)
_EPILOG = (
    "All conditions have to hold; of one that is repeated, any value is enough. "
    f"{_TWINS} leave out what matches. "
    f"--{', --'.join(each.name for each in conditions.CONDITIONS if each.commas)} also take several values together: "
    "--tag beach,sea."
)


_LISTING_FLAGS: dict[str, Any] = {
    "sort": Annotated[
        str,
        typer.Option(
            "--sort",
            help="Order: score, date (newest first) or name.",
            autocompletion=values.one_of("score", "date", "name"),
        ),
    ],
    "reverse": Annotated[bool, typer.Option("--reverse", help="Reverse the order.")],
    "page": Annotated[int | None, typer.Option("--page", help="Page of --limit hits to show, from 1.")],
    "cursor": Annotated[
        str, typer.Option("--cursor", help="Show the next page: the value of next in the output of --json.")
    ],
    "group_minutes": Annotated[
        float | None,
        typer.Option(
            "--group-near",
            metavar="MINUTES",
            help="Show only the best hit of each scene (similar pictures taken within MINUTES).",
        ),
    ],
    "raw_pairs": Annotated[
        str,
        typer.Option(
            "--raw-pairs",
            help="Show a shot in RAW and JPEG as: both (one hit that names both files; the default), jpeg or raw.",
            autocompletion=values.one_of("both", "jpeg", "raw"),
        ),
    ],
    "live_pairs": Annotated[
        str,
        typer.Option(
            "--live-pairs",
            help="Show a live photo as: both (one hit that also names its video; the default), or still.",
            autocompletion=values.one_of("both", "still"),
        ),
    ],
}
"""Field of ``Listing`` -> its flag."""

PreviewOption = Annotated[bool, typer.Option("--preview", help="Show thumbnails if the output is a terminal.")]
PreviewAsOption = Annotated[
    str,
    typer.Option(
        "--preview-as",
        help="Show thumbnails with this protocol, terminal or not: kitty, iterm, sixel or blocks.",
        autocompletion=values.one_of("kitty", "iterm", "sixel", "blocks"),
    ),
]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Also write an HTML page with thumbnails.")]

_SHOWING_FLAGS: dict[str, Any] = {
    "preview": PreviewOption,
    "preview_as": PreviewAsOption,
    "html": HtmlOption,
    "open_first": Annotated[bool, typer.Option("--open", help="Open the first hit.")],
    "copy_to": Annotated[
        Path | None, typer.Option("--copy-to", metavar="DIR", help="Copy the hits to a folder; nothing is overwritten.")
    ],
    "link_to": Annotated[
        Path | None, typer.Option("--link-to", metavar="DIR", help="Make symbolic links to the hits in a folder.")
    ],
    "numbered": Annotated[bool, typer.Option("--numbered", help="Start the file names in that folder with the rank.")],
}
"""Field of ``Showing`` -> its flag."""


_MADE = ("Filter", "Listing", "Showing")
"""Types named in a command's signature, which does not import them."""


def filter_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of a filter in place of its parameter ``where: Filter | None``."""

    def made(given: dict[str, Any]) -> object:
        from retrieval.filters.filter import parse_typed

        return parse_typed(given)

    filtered: Any = _with_flags(command, "where", _FILTER_FLAGS, made)
    filtered.epilog = _EPILOG
    return cast(Callable[..., None], filtered)


def given_conditions(command: Callable[..., None]) -> Callable[..., None]:
    """The same flags in place of its parameter ``given: dict[str, Any] | None``: values as typed."""
    filtered: Any = _with_flags(
        command, "given", _FILTER_FLAGS, lambda given: {name: value for name, value in given.items() if value}
    )
    filtered.epilog = _EPILOG
    return cast(Callable[..., None], filtered)


def listing_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of order, pages and bursts in place of its parameter ``listing: Listing | None``."""

    def made(given: dict[str, Any]) -> object:
        from retrieval.search.pages import Listing

        usual = {"sort": given["sort"] or "score", "cursor": given["cursor"] or None}
        usual |= {pairs: given[pairs] or "both" for pairs in ("raw_pairs", "live_pairs")}
        return Listing(**given | usual)

    return _with_flags(command, "listing", _LISTING_FLAGS, made)


def showing_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags for the output of hits in place of its parameter ``showing: Showing | None``."""

    def made(given: dict[str, Any]) -> object:
        from retrieval.rendering.showing import Showing

        return Showing(**given)

    return _with_flags(command, "showing", _SHOWING_FLAGS, made)


def _with_flags(
    command: Callable[..., None], name: str, flags: dict[str, Any], made: Callable[[dict[str, Any]], object]
) -> Callable[..., None]:
    """Replace a command's parameter ``name`` by ``flags``; it is None if none of them is given, else the result of
    ``made`` for their values."""
    own = inspect.signature(command).parameters
    hints = {n: p.annotation for n, p in own.items()}
    if any(isinstance(hint, str) for hint in hints.values()):  # not if the command got flags before
        hints = get_type_hints(command, localns=dict.fromkeys(_MADE, object), include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [p.replace(annotation=hints[n], kind=keyword) for n, p in own.items() if n != name]
    for field, flag in flags.items():
        default = _ASKS_NOTHING.get(flag.__origin__)
        parameters.append(inspect.Parameter(field, keyword, annotation=flag, default=default))

    @wraps(command)
    def flagged(**passed: Any) -> None:
        given = {field: passed.pop(field, None) for field in flags}
        asks = any(value is not _ASKS_NOTHING.get(flags[field].__origin__) for field, value in given.items())
        return command(**passed, **{name: made(given) if asks else None})

    # typer reads the signature, and also the annotations by name.
    read: Any = flagged
    read.__signature__ = inspect.Signature(parameters)
    read.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flagged
