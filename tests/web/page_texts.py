"""Texts in the page's scripts: what is written between quotes, and which messages are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<text> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
  | (?P<template> ` )
  | (?P<regex> (?<=[(,=:\[!&|?{};\n]) \s* /(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]* )
    """,
    re.X | re.S,
)


def literals(script: str) -> Iterator[str]:
    """The strings of a script, and the parts of its templates between the values."""
    at = 0
    while found := _TOKEN.search(script, at):
        at = found.end()
        if found["text"]:
            yield found["text"][1:-1]
        elif found["template"]:
            at = yield from _template(script, at)


def _template(script: str, at: int) -> Iterator[str]:  # type: ignore[misc]
    """The parts of the template that begins at a position; returns the position behind it."""
    begin = at
    while script[at] != "`":
        if script[at] == "\\":
            at += 2
        elif script.startswith("${", at):
            yield script[begin:at]
            end = _closing(script, at + 2)
            yield from literals(script[at + 2 : end])
            at = begin = end + 1
        else:
            at += 1
    yield script[begin:at]
    return at + 1


def _closing(script: str, at: int) -> int:
    """The position of the brace that ends a value in a template."""
    depth = 0
    while depth or script[at] != "}":
        if script[at] == "`":
            at = _end_of_template(script, at + 1)
            continue
        if found := re.compile(r"\"(?:[^\"\\\n]|\\.)*\"").match(script, at):
            at = found.end()
            continue
        depth += {"{": 1, "}": -1}.get(script[at], 0)
        at += 1
    return at


def _end_of_template(script: str, at: int) -> int:
    while script[at] != "`":
        at = at + 2 if script[at] == "\\" else _closing(script, at + 2) + 1 if script.startswith("${", at) else at + 1
    return at + 1


def keys_of(script: str) -> set[str]:
    """The keys of messages that a script asks for, as patterns: ``*`` stands for what is put together at run time."""
    texts = re.findall(r'"([a-z_]+(?:\.[\w.]+)?)"', script)
    begun = re.findall(r"`([a-z_]+(?:\.[\w.]*)?)\$\{[^`]*`", script)
    return {*texts, *(f"{beginning}*" for beginning in begun)}
