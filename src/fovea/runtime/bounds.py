"""Types with bounds for the arguments of constructors; `instantiate` checks a configuration against them.

A constructor annotates an argument, e.g. `weight: NonNegative`, and needs no check of its own. Booleans, strings and
values that are not finite are never numbers here.
"""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

Count = Annotated[int, Field(strict=True, ge=1)]
NonNegativeInt = Annotated[int, Field(strict=True, ge=0)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
PositiveFraction = Annotated[float, Field(strict=True, gt=0, le=1)]
Progress = Annotated[float, Field(strict=True, ge=0, lt=1)]  # a part of the training
Window = Annotated[Sequence[Number], Field(min_length=2, max_length=2)]  # the values that become 0 and 255

_PHRASES = {
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "literal_error": "one of {expected}",
    "list_type": "a list in brackets",
    "is_instance_of": "a list in brackets",
    "sequence_str": "a list in brackets",
    "dict_type": "keys with values in braces",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "none_required": "null",
}


def check(target: Callable[..., Any], values: Mapping[str, Any], key: str) -> None:
    """Check values against the bounds in annotations of a class or function; the ValueError names key and argument.

    If a class takes any keyword, the bounds of its base class hold for the arguments that it does not name.
    """
    hints: dict[str, Any] = {}
    for called in [vars(each).get("__init__") for each in target.__mro__] if isinstance(target, type) else [target]:
        if called is not None:
            hints = get_type_hints(called, include_extras=True) | hints
            if not any(each.kind is each.VAR_KEYWORD for each in signature(called).parameters.values()):
                break
    check_values(hints, values, key)


def check_values(hints: Mapping[str, Any], values: Mapping[str, Any], key: str) -> None:
    """Check values against annotations, both by argument; only those with bounds, text, keys and bool refuse values."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{key} must be {_PHRASES['dict_type']}, got {values!r}")
    for name in values.keys() & hints.keys():
        if (adapter := _adapter(hints[name])) is None:
            continue
        try:
            adapter.validate_python(values[name])
        except ValidationError as error:
            errors = [entry for entry in error.errors() if entry["type"] != "none_required"] or error.errors()
            first = errors[-1]  # of a union, the last choice is the most general
            wanted = _PHRASES.get(first["type"], first["msg"]).format(**first.get("ctx", {}))
            place = _place(f"{key}.{name}" if key else name, values[name], first["loc"])
            raise ValueError(f"{place} must be {wanted}, got {first['input']!r}") from None


def _place(key: str, value: Any, parts: Sequence[int | str]) -> str:
    """Return where pydantic found an error below a key; it also names the types that it tried, which are left out."""
    for part in parts:
        if isinstance(part, int):
            key += f"[{part}]"
        elif isinstance(value, Mapping) and part in value:
            key, value = f"{key}.{part}", value[part]
    return key


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    """Return the validator of an annotation with bounds, of text, keys, true and false; None for others."""
    if hint in (bool, bool | None):  # the text `no` would be true
        return TypeAdapter(hint, config=ConfigDict(strict=True))
    if (
        hint not in (str, str | None, Sequence[str], Sequence[str] | None)
        and not str(hint).startswith("collections.abc.Mapping[str, ")
        and "Annotated[" not in str(hint)
        and "Literal[" not in str(hint)
    ):
        return None
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return None
