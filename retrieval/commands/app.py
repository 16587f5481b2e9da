"""The command line's application: finds the requested command, and prints errors in two lines.

Only light modules are imported here, and only the command that runs, so that ``photoseek search --help`` and a cold
query are not slowed by the other commands.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from retrieval.commands import COMMANDS
from retrieval.commands.rules import with_rules
from retrieval.commands.searching import one_blas_thread
from retrieval.config import process
from retrieval.interrupts import Stopped
from retrieval.program import begin_work, errors_in_two_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}


class LazyCommands(TyperGroup):
    """The commands of ``retrieval.commands.COMMANDS``; one is imported only when it is run or its help is requested.

    Contexts and commands belong to typer's own click or to the installed one, by typer's version, hence no types here.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            near = " or ".join(map(repr, get_close_matches(args[0], COMMANDS)))
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near}?" if near else ""))
        return super().resolve_command(ctx, args)

    def make_context(self, *given: Any, **named: Any) -> Any:
        """As for :meth:`invoke`, signals are not for typer."""
        try:
            return super().make_context(*given, **named)
        except KeyboardInterrupt as error:
            raise Stopped from error

    def invoke(self, ctx: Any) -> Any:
        """Operating system errors are reported here: typer would mistake a closed connection for a closed pipe, and
        would end with 130 after every signal, without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped from error
        except Exception as error:
            from retrieval.system_errors import explained

            known = explained(error)
            if known is None or known is error:
                raise
            raise known from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name].target.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(**_STYLE)
        alone.command(name, epilog=getattr(found, "epilog", None))(found)
        found = alone
    command = typer.main.get_command(found)
    command.name = name
    return with_rules(command)


app = typer.Typer(
    name="photoseek",
    cls=LazyCommands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    **_STYLE,
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"photoseek {version('photoseek')}")
        except PackageNotFoundError:
            typer.echo("photoseek, from a checkout that is not installed")
        raise typer.Exit


@app.callback()
def photoseek(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Search your pictures with words and with pictures. Everything stays on this machine."""


def asks_many(arguments: Sequence[str]) -> bool:
    """True for a batch of queries, which one BLAS thread and no garbage collection would serve badly."""
    return any(argument.startswith("--queries-from") for argument in arguments)


def run() -> None:
    """Run the command line; exit codes: 0 ok, 1 nothing found, 2 wrong use, 3 gallery problem, 128 + the signal."""
    if sys.argv[1:2] and sys.argv[1] in ("search", "similar", "daemon") and not asks_many(sys.argv):
        one_blas_thread()
    if "_PHOTOSEEK_COMPLETE" in os.environ:
        # typer knows the shells only after this, which it does itself where it offers --install-completion: that would
        # cost every command the detection of the shell.
        from typer.completion import get_completion_inspect_parameters

        get_completion_inspect_parameters()
    from retrieval.logs import log_to_stderr

    log_to_stderr()
    with errors_in_two_lines("photoseek"):
        begin_work()
        prog_name = "photoseek" if "_PHOTOSEEK_COMPLETE" in os.environ else None
        app(prog_name=prog_name, default_map=_defaults(sys.argv[1:]))


def _defaults(arguments: Sequence[str]) -> dict[str, Any]:
    """Defaults of flags from the user's settings; commands that show or change settings use the program's defaults.

    Raises:
        SettingsError: a settings file or a variable is wrong.
    """
    from retrieval.server.client import read_settings

    tells = "_PHOTOSEEK_COMPLETE" in os.environ or not arguments or not {"-h", "--help"}.isdisjoint(arguments)
    if tells or arguments[0] in _WITHOUT_SETTINGS:
        process.begin()
        return {}
    read_settings(arguments)
    if process.sources():
        from retrieval.config.checking import check

        check()
    from retrieval.config.values import flag_defaults

    return flag_defaults()


_WITHOUT_SETTINGS = ("config", "completion", "-V", "--version")
