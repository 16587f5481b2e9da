"""Everything that names conditions is made from the table: no consumer lacks a row, none knows one more."""

from __future__ import annotations

import json
import re

import typer

from retrieval.catalog.schema import images
from retrieval.commands.search import search
from retrieval.filters import Filter, conditions
from retrieval.filters.conditions import CONDITIONS, COUNTED
from retrieval.filters.sql import to_sql
from retrieval.shell.lines import parse_line

FIELDS = dict(conditions.fields())
VALUES = {
    "folder": "/p", "date": "2023-06", "moment": "2023-06", "part": "x", "circle": "1,2,3km", "place": "Paris",
    "pattern": "*.png", "code": "PNG", "tag": "dog", "flag": True, "pixels": 800, "bytes": "2MB", "span": "2-4",
    "words": "invoice", "named": "bakery",
    "stars": 3, "album": "Best", "day": "12-24", "person": "Anna",
}  # fmt: skip
"""A value of each kind."""


def value_of(condition: conditions.Condition) -> object:
    return condition.choices[0] if condition.choices else VALUES[condition.kind]


def test_every_condition_is_a_flag_with_the_tables_help() -> None:
    app = typer.Typer()
    app.command()(search)
    flags = {option: param for param in typer.main.get_command(app).params for option in param.opts}
    for name, condition in FIELDS.items():
        flag = flags["--" + name.replace("_", "-")]
        is_twin = name != condition.name
        assert flag.name == name and flag.hidden == is_twin
        assert is_twin or flag.help == f"Only pictures {condition.help}"


def test_every_condition_is_a_word_of_the_shell() -> None:
    for name, condition in FIELDS.items():
        flag, value = "--" + name.replace("_", "-"), value_of(condition)
        line = parse_line(f"a dog {flag}" if value is True else f"a dog {flag} {value}")
        assert line.where == Filter(**{name: value}), name


def test_every_condition_is_a_field_of_the_api_and_a_name_of_the_page() -> None:
    from retrieval.web.assistant.models import SearchArguments
    from retrieval.web.page_files import page_files
    from retrieval.web.search.models import SearchParams

    script = page_files()["conditions.js"].content.decode()
    named = [name for names in re.findall(r"(?:LISTS|TEXTS|FLAGS)=(\[[^\]]*\]);", script) for name in json.loads(names)]
    assert sorted(named) == sorted(FIELDS)
    for model in (SearchParams, SearchArguments):
        described = model.model_json_schema()["properties"]
        for name, condition in FIELDS.items():
            said = described[name].get("description")
            assert said == (None if name != condition.name else f"Pictures {condition.help}")
    for name, condition in FIELDS.items():
        given = SearchParams.model_validate({name: value_of(condition)})
        assert given.where() == Filter(**{name: value_of(condition)}), name
        again = SearchParams.model_validate({name: given.where().to_mapping()[name]})
        assert again.where() == given.where(), name


def test_every_facet_of_values_is_in_the_answer() -> None:
    from retrieval.web.facets.counting import GROUPS
    from retrieval.web.facets.models import FacetCounts

    assert {facet.field for facet in COUNTED} <= set(FacetCounts.model_fields)
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(name for name, condition in FIELDS.items() if condition.facet is not None)


def test_statements_name_columns_and_hold_no_values() -> None:
    for name, condition in FIELDS.items():
        text, values = to_sql(Filter(**{name: value_of(condition)}), 1)
        assert set(re.findall(r":([a-z_0-9]+)", text)) == set(values), name
        assert set(re.findall(r"\bi\.([a-z_]+)", text)) <= set(images.c.keys()), name
        if condition.lacks is not None:
            assert set(re.findall(r"\bi\.([a-z_]+)", condition.lacks.test)) <= set(images.c.keys())


def test_the_lower_end_of_a_range_is_a_condition_of_the_same_kind() -> None:
    for condition in CONDITIONS:
        if condition.order is not None:
            assert conditions.NAMED[condition.order.low].kind == condition.kind
