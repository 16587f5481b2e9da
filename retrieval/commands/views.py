"""``photoseek clusters`` and ``map``: overviews of a whole gallery."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.options import GalleryOption, HtmlOption, JsonOption, TowerOption, filter_flags
from retrieval.commands.say import needed, say
from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.filters import Filter


@filter_flags
def clusters(
    where: Filter | None,
    k: Annotated[
        int | None, typer.Option("--k", help="Number of groups; default: depends on the number of pictures.")
    ] = None,
    min_size: Annotated[int, typer.Option("--min-size", help="Omit groups with fewer pictures.")] = 1,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels", help="Labels to name groups with: builtin, a list (cat,dog,car; repeatable), or a file."
        ),
    ] = None,
    gallery: GalleryOption = None,
    model: TowerOption = "",
    as_json: JsonOption = False,
    html: HtmlOption = None,
) -> None:
    """Group similar pictures and name each group. Only embeddings are read, no picture files."""
    from retrieval.gallery import Gallery
    from retrieval.labels.vocabulary import read_labels
    from retrieval.overview_maps.groups import group_gallery
    from retrieval.overview_maps.tell import write_groups, write_groups_page
    from retrieval.rendering.html_page import check_page_path
    from retrieval.search.album_lists import resolved_in

    if html is not None:
        check_page_path(html)
    words = read_labels(*labels or ())
    opened = Gallery(gallery)
    where = resolved_in(opened, where)
    found = group_gallery(opened, k, min_size=min_size, where=where, model=model or None, labels=words)
    needed(found.groups)
    if html is not None:
        write_groups_page(found, html, where)
        say(f"{plural(len(found.groups), 'cluster')} in {html}")
    write_groups(found, sys.stdout, as_json=as_json)


@filter_flags
def map_(
    where: Filter | None,
    html: HtmlOption = None,
    method: Annotated[str, typer.Option("--method", help="auto, pca, or umap (with photoseek[map]).")] = "auto",
    points: Annotated[
        int, typer.Option("--points", help="Maximum number of pictures; a random sample if there are more.")
    ] = 2000,
    gallery: GalleryOption = None,
    model: TowerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Draw a map of the gallery: similar pictures are close together.

    Prints coordinates, or writes a page with thumbnails.
    """
    from retrieval.gallery import Gallery
    from retrieval.overview_maps.atlas import draw_atlas, write_places
    from retrieval.overview_maps.page import write_atlas_page
    from retrieval.rendering.html_page import check_page_path
    from retrieval.search.album_lists import resolved_in

    if html is not None:
        check_page_path(html)
    opened = Gallery(gallery)
    where = resolved_in(opened, where)
    atlas = draw_atlas(opened, method=method, points=points, where=where, model=model or None)
    needed(atlas.places)
    if html is not None:
        write_atlas_page(atlas, html, where)
        say(f"{len(atlas.places):,} of {plural(atlas.pictures, 'picture')} by {atlas.method} in {html}")
    if as_json or html is None:
        write_places(atlas, sys.stdout, as_json=as_json)
