"""``photoseek completion``: what a shell has to read to complete commands, flags and their values."""

from __future__ import annotations

from typing import Annotated

import typer

from retrieval.commands.values import one_of
from retrieval.errors import QueryError

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.", autocompletion=one_of("bash", "zsh", "fish"))],
) -> None:
    """Print what makes a shell complete commands and flags, and values: tags, cameras, ...

    bash: photoseek completion bash >> ~/.bashrc. zsh: the same into ~/.zshrc, behind compinit. fish: photoseek
    completion fish > ~/.config/fish/completions/photoseek.fish. Then open a new shell.
    """
    if shell not in SHELLS:
        raise QueryError(f"no completion is known for {shell!r}", f"use one of {', '.join(SHELLS)}")
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name="photoseek", complete_var="_PHOTOSEEK_COMPLETE", shell=shell))
