"""The fields of a filter over HTTP and for assistants, made from the table of conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    create_model,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from retrieval.filters.conditions import Condition, fields
from retrieval.filters.filter import Filter

MOST_BYTES = 10**18


class OneOrMore:
    """Accepts a single value as a list of one, as in a URL."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        several = handler(schema)
        return {"anyOf": [several, several["items"]]}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _number_as_text(value: Any) -> Any:
    return f"{value:f}" if isinstance(value, int | float) and not isinstance(value, bool) else value


# SQLite and the file system both end a text at a NUL, so a text with one cannot be meant.
_Text = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
_SPAN = {"type": "string", "minLength": 1, "maxLength": 100, "examples": ["100-400", ">=1600"]}
_VALUES: dict[str, Any] = {
    "date": Annotated[str, Field(max_length=100, examples=["2023-06-01 18:30", "3 weeks ago"])],
    "moment": Annotated[str, Field(max_length=100, examples=["2023-06-01T18:30:00+02:00", "yesterday"])],
    "pixels": Annotated[int, Field(ge=1, le=999_999_999)],
    "bytes": Annotated[int, Field(ge=1, le=MOST_BYTES)] | Annotated[str, Field(max_length=40, examples=["2MB"])],
    "circle": Annotated[str, Field(max_length=100, examples=["48.858,2.294,5km"])],
    "day": Annotated[str, Field(max_length=20, examples=["12-24", "today"])],
    "stars": Annotated[int, Field(ge=1, le=5)],
    "span": Annotated[
        str,
        BeforeValidator(_number_as_text),
        Field(min_length=1, max_length=100),
        WithJsonSchema({"anyOf": [{"type": "number"}, _SPAN]}),
    ],
}
"""Kind of a condition -> the type of one value, if not any text is allowed."""

_MOST = {"circle": 20}
"""Kind of a condition -> the maximum number of values, if not 50."""


def _field(condition: Condition, *, is_twin: bool) -> Any:
    """The type and the field of a condition, or of its twin, which has no description of its own."""
    said = None if is_twin else f"Pictures {condition.help}"
    if condition.kind == "flag":
        return bool, Field(False, description=said)
    value = Literal[condition.choices] if condition.choices else _VALUES.get(condition.kind, _Text)
    if not condition.is_several:
        return value | None, Field(None, description=said)
    most = len(condition.choices) or _MOST.get(condition.kind, 50)
    several = Annotated[list[value], Field(max_length=most), OneOrMore()]  # type: ignore[valid-type]
    return several, Field(default_factory=list, description=said)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


if TYPE_CHECKING:
    _Conditions = _Strict
else:
    _Conditions = create_model(
        "_Conditions",
        __base__=_Strict,
        **{name: _field(condition, is_twin=name != condition.name) for name, condition in fields()},
    )


class FilterFields(_Conditions):
    """Conditions that all have to hold; of several values of one condition any is enough. Named as the flags of the
    command line; what begins with ``no_`` leaves out what matches."""

    def where(self) -> Filter:
        """The filter that these fields describe; looks at the disk (folders are resolved).

        Raises:
            QueryError: a value that cannot be, or conditions that no picture can pass together.
        """
        return Filter.from_mapping({name: getattr(self, name) for name, _ in fields()})
