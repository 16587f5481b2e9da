"""``photoseek serve``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from retrieval.commands.answers import for_askers
from retrieval.commands.options import GalleryOption, TowerOption
from retrieval.commands.say import say
from retrieval.errors import RuntimeUnavailable


def serve(
    context: typer.Context,
    gallery: GalleryOption = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; any other than loopback needs a token.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8765,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar="PHOTOSEEK_TOKEN",
            help="Access token that clients must send, or several, one a line; safer in the variable.",
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Host name under which clients may reach it (repeatable)."),
    ] = None,
    allow_new_folders: Annotated[
        bool,
        typer.Option(
            "--allow-new-folders/--no-allow-new-folders",
            help="Let the page index folders that are not in the gallery yet.",
        ),
    ] = False,
    allow_folder: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-folder", help="Let the page choose folders to index in this one (repeatable; see docs/web.md)."
        ),
    ] = None,
    read_only: Annotated[
        bool,
        typer.Option("--read-only/--no-read-only", help="Refuse everything that changes labels, albums or files."),
    ] = False,
    model: TowerOption = "",
) -> None:
    """Serve the gallery as a web page and an HTTP API. Runs until Ctrl-C. Text searches on the command line are
    answered by it, too, which is faster."""
    _one_blas_thread()
    try:
        from retrieval.web.server import serve as run
        from retrieval.web.settings import Settings
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("retrieval", "indexes"):
            raise
        raise RuntimeUnavailable(
            f"the web page needs {error.name}, which is not installed", "run: pip install 'photoseek[web]'"
        ) from error
    from retrieval.config.values import setting
    from retrieval.gallery import Gallery

    settings = Settings(
        host=host,
        port=port,
        title=setting("serve.title"),
        thumbnail_bytes=setting("serve.thumbnails-mib") << 20,
        requests_per_minute=setting("serve.requests-per-minute"),
        reader_threads=setting("serve.readers"),
        page_key=_page_key(),
        max_upload_bytes=setting("serve.upload-mib") << 20,
        token=token.strip() or None,
        allowed_hosts=tuple(allow_host or ()),
        allow_new_folders=allow_new_folders,
        allowed_folders=tuple(os.path.realpath(folder) for folder in allow_folder or ()),
        read_only=read_only,
        model=model or None,
    )
    opened = Gallery(gallery)
    opened.bring_up_to_date()
    run(opened, settings, say, for_askers(context), open_page=open_page)


def _page_key() -> str | None:
    """What cookies depend on, if several servers share it."""
    from retrieval.errors import SettingsError

    key = os.environ.get("PHOTOSEEK_PAGE_KEY", "").strip()
    if key and (len(key) != 64 or set(key.lower()) - set("0123456789abcdef")):
        raise SettingsError("PHOTOSEEK_PAGE_KEY is no key", "make one with: openssl rand -hex 32")
    return key or None


def _one_blas_thread() -> None:
    """Run numpy's products of this process on one thread each: several run at once, and on a busy
    machine OpenBLAS's own threads wait for each other (a query took 1.19 s with two, 0.12 s with one).

    The variable is read when numpy is loaded, and is not passed on to the processes that index.
    """
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        import numpy  # noqa: F401

        del os.environ["OPENBLAS_NUM_THREADS"]
