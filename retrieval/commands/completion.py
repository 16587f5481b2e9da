"""``photoseek completion``: the script that lets a shell complete commands, flags and values."""

from __future__ import annotations

from typing import Annotated

import typer

from retrieval.commands.values import one_of
from retrieval.errors import QueryError

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.", autocompletion=one_of("bash", "zsh", "fish"))],
) -> None:
    """Print the completion script for your shell. It completes commands, flags, and values such as tags and cameras.

    bash: photoseek completion bash >> ~/.bashrc. zsh: append it to ~/.zshrc, after compinit. fish: photoseek
    completion fish > ~/.config/fish/completions/photoseek.fish. Then open a new shell.
    """
    if shell not in SHELLS:
        raise QueryError(f"no completion is known for {shell!r}", f"use one of {', '.join(SHELLS)}")
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name="photoseek", complete_var="_PHOTOSEEK_COMPLETE", shell=shell))
