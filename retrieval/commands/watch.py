"""``photoseek watch``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands import values
from retrieval.commands.options import GalleryOption
from retrieval.commands.say import say
from retrieval.errors import SettingsError
from retrieval.paths import CLI
from retrieval.streams import printable

if TYPE_CHECKING:
    from retrieval.gallery import Gallery
    from retrieval.watching.watcher import Manners

_KEPT_VARIABLES = ("PHOTOSEEK_CONFIG", "PHOTOSEEK_MODELS", "PHOTOSEEK_PRECISION", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
"""Environment variables passed to a service: those with paths, and those that affect embeddings."""


def watch(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders to watch; default: all folders indexed before.")
    ] = None,
    gallery: GalleryOption = None,
    model: Annotated[
        str, typer.Option("--model", help="Encoder (see: photoseek models).", autocompletion=values.models)
    ] = "",
    nice: Annotated[int, typer.Option("--nice", min=0, max=19, help="Let other programs go first: 0 to 19.")] = 10,
    max_cpu: Annotated[
        float, typer.Option("--max-cpu", min=0, max=10_000, help="Percent of one core to use at most; 0: no limit.")
    ] = 0,
    on_battery: Annotated[
        str,
        typer.Option(
            "--on-battery", help="What to do on battery: run or pause.", autocompletion=values.one_of("run", "pause")
        ),
    ] = "run",
    poll: Annotated[
        float,
        typer.Option(
            "--poll",
            min=0,
            max=86_400,
            help="Look every so many seconds, not by events; 0: only on shares, every 10.",
        ),
    ] = 0,
    look_every: Annotated[
        float, typer.Option("--look-every", min=0, max=10_080, help="Minutes between looks at everything; 0: never.")
    ] = 15,
    sidecars: Annotated[
        bool, typer.Option("--sidecars/--no-sidecars", help="Import tags and captions from XMP files that change.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing about runs.")] = False,
    install: Annotated[
        bool, typer.Option("--install", help="Write a service that watches with your session (systemd, launchd).")
    ] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Remove that service.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also replace or remove a service that was changed.")] = False,
) -> None:
    """Keep the gallery in step with folders: new, changed and moved pictures are indexed within seconds. Runs until
    Ctrl-C."""
    from retrieval.gallery import Gallery
    from retrieval.watching.watcher import Manners

    if on_battery not in ("run", "pause"):
        raise SettingsError(f"on battery, a watcher cannot {on_battery[:20]!r}", "use run or pause")
    opened = Gallery(gallery)
    if install or uninstall:
        flags = _flags(nice, max_cpu, on_battery, poll, look_every, model, sidecars=sidecars)
        _service(opened, folders or (), flags, remove=uninstall, force=force)
        return
    manners = Manners(
        poll_s=poll or 10.0, polls_all=bool(poll), look_every_s=60 * look_every, max_cpu=max_cpu,
        pauses_on_battery=on_battery == "pause",
    )  # fmt: skip
    keep_watching(opened, folders or (), manners, model=model, nice=nice, sidecars=sidecars, quiet=quiet)


def keep_watching(
    gallery: Gallery,
    folders: Sequence[Path],
    manners: Manners | None,
    *,
    model: str = "",
    nice: int = 10,
    sidecars: bool = True,
    quiet: bool = False,
) -> None:
    """Watch until Ctrl-C or SIGTERM; ``manners`` as for ``watcher.Watcher``."""
    from retrieval.config.values import setting
    from retrieval.interrupts import stop_on_interrupt
    from retrieval.watching.complete import expect_leases
    from retrieval.watching.following import Follower
    from retrieval.watching.politeness import lower_priority
    from retrieval.watching.watcher import Watcher

    lower_priority(nice)
    expect_leases()
    everywhere = [*setting("exclude"), *(f"!{pattern}" for pattern in setting("include"))]
    frames = setting("index.frames-per-minute")
    words = setting("index.ocr")
    follower = Follower(gallery, model or None, everywhere, frames_per_minute=frames, reads_text=words)
    roots = follower.roots(folders)

    def tell(line: str) -> None:
        if not quiet:
            say(line)

    with stop_on_interrupt(lambda: tell("stopping after the pictures in flight; nothing is lost ...")) as stop:
        tell(f"gallery {gallery.path}: watching {len(roots)} folder{'s' * (len(roots) != 1)}; Ctrl-C ends it")
        on_sidecars = follower.import_sidecars if sidecars else None
        watcher = Watcher(roots, follower.run, tell, manners, on_sidecars, follower.use_the_quiet)
        watcher.watch(stop)


def _flags(
    nice: int, max_cpu: float, on_battery: str, poll: float, look_every: float, model: str, *, sidecars: bool
) -> list[str]:
    """The flags of a service's command line that differ from the defaults."""
    given = {
        "--nice": (nice, 10), "--max-cpu": (max_cpu, 0), "--on-battery": (on_battery, "run"), "--poll": (poll, 0),
        "--look-every": (look_every, 15), "--model": (model, ""),
    }  # fmt: skip
    flags = [part for flag, (value, usual) in given.items() if value != usual for part in (flag, str(value))]
    return [*flags, *(() if sidecars else ("--no-sidecars",))]


def _service(opened: Gallery, folders: Sequence[Path], flags: list[str], *, remove: bool, force: bool) -> None:
    from retrieval.watching import service

    gallery = str(opened.path.resolve())
    for folder in folders:
        if not folder.is_dir():
            raise SettingsError(f"there is no folder {folder}", "check the spelling, or mount the drive")
    places = [str(folder.resolve()) for folder in folders]
    command = [sys.executable, CLI, "watch", "--gallery", gallery, *flags, "--", *places]
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if os.environ.get(name)}
    found = service.service(command if places else command[:-1], kept, gallery)
    if remove:
        is_gone = service.uninstall(found, force=force)
        typer.echo(f"{'removed' if is_gone else 'there was no'} {printable(str(found.path))}")
        lines = found.disable if is_gone else ()
    else:
        service.install(found, force=force)
        typer.echo(f"wrote {printable(str(found.path))}")
        lines = found.enable
    for line in lines:
        typer.echo(f"now run: {line}")
