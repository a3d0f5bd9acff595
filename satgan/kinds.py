"""The kinds of values that options take."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import ErrorDetails

MOST_CHANNELS = 16
"""Of a tile."""

FEWEST_JUDGED = 20
"""Tiles of a side; below it the judge's neighbours and covariances mean nothing."""


def _split_commas(value: object) -> object:
    """`--gan.filters 32,16,8` and YAML lists are both accepted; an empty text is an empty list."""
    return [part for part in value.split(",") if part] if isinstance(value, str) else value


def _plain_name(value: str) -> str:
    if not value or value.startswith(".") or not all(letter.isalnum() or letter in "-_." for letter in value):
        raise ValueError("a name has letters, digits, '-', '_' and '.' only and does not begin with '.'")
    if value == "tiles":
        raise ValueError("that is where the store keeps tile sets: choose another name")
    return value


def as_number(value: object) -> object:
    """Options come as text, which `Literal` does not take for a number."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _as_workers(value: object) -> object:
    """`4` and `2:8` are accepted; `4:4` is 4."""
    if value is None:
        return None
    ends = str(value).split(":")
    if len(ends) > 2 or not all(end.isdigit() for end in ends):
        raise ValueError("give a number of workers, or MIN:MAX, such as --workers 4 or --workers 2:8")
    least, most = int(ends[0]), int(ends[-1])
    if least > most or least == 0 < most:
        raise ValueError("MIN is at least 1 and at most MAX, as in --workers 2:8")
    return least if least == most else f"{least}:{most}"


Filters = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_split_commas)]
Name = Annotated[str, AfterValidator(_plain_name)]
Place = Annotated[str, Field(min_length=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Hours = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Price = Annotated[float, Field(gt=0)]
Workers = Annotated[int | str, BeforeValidator(_as_workers)]
Norm = Literal["batch", "virtual"]
Changes = Annotated[tuple[Literal["color", "translation", "cutout"], ...], BeforeValidator(_split_commas)]
Loggers = Annotated[tuple[Literal["mlflow", "wandb"], ...], BeforeValidator(_split_commas)]

REFUSALS = {
    "missing": "it is missing",
    "int_parsing": "give a whole number",
    "int_type": "give a whole number",
    "int_from_float": "give a whole number",
    "float_parsing": "give a number",
    "float_type": "give a number",
    "bool_parsing": "give yes or no",
    "bool_type": "give yes or no",
    "string_type": "give a text",
    "string_too_short": "it may not be empty",
    "tuple_type": "give a list",
    "greater_than": "give more than {gt:g}",
    "greater_than_equal": "give {ge:g} or more",
    "less_than": "give less than {lt:g}",
    "less_than_equal": "give {le:g} or less",
    "literal_error": "give {expected}",
}
"""What pydantic means, by its names of what is wrong."""


def refusal_of(found: ErrorDetails) -> str:
    """What is wrong with a value, said to whoever gave it."""
    own = REFUSALS.get(found["type"])
    return own.format(**found.get("ctx", {})) if own else found["msg"].removeprefix("Value error, ")
