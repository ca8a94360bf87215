"""One Options dataclass, two forms: fields become command-line flags and widgets of the window.

A field of an Options dataclass is described by `option`: its default, a sentence of help and,
where it applies, its range or choices.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segstudio.core.errors import UsageError
from segstudio.core.registry import did_you_mean

__all__ = [
    "OptionField",
    "build_options",
    "option",
    "option_fields",
    "options_from_text",
    "options_to_json",
    "options_to_text",
]


@dataclass(frozen=True, slots=True)
class OptionField:
    """What a form needs to know about one field.

    Attributes
    ----------
    name : str
        Name of the field; the flag is ``--name-with-dashes``.
    kind : type
        bool, int, float or str.
    optional : bool
        Whether None is a value.
    default : object
        The default.
    help : str
        One sentence.
    choices : tuple of str
        The only values allowed, empty when any is.
    minimum, maximum : float or None
        Inclusive range of a number.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Return a dataclass field with what its form needs; see `OptionField`."""
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "choices": tuple(choices),
            "minimum": minimum,
            "maximum": maximum,
        },
    )


def option_fields(options_class: type) -> list[OptionField]:
    """Return the fields of an Options dataclass in order."""
    hints = typing.get_type_hints(options_class)
    found = []
    for field in dataclasses.fields(options_class):
        hint = hints[field.name]
        parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kinds = [part for part in parts if part is not type(None)]
        found.append(
            OptionField(
                name=field.name,
                kind=typing.get_origin(kinds[0]) or kinds[0],
                optional=len(kinds) < len(parts),
                default=field.default,
                help=field.metadata.get("help", ""),
                choices=field.metadata.get("choices", ()),
                minimum=field.metadata.get("minimum"),
                maximum=field.metadata.get("maximum"),
            )
        )
    return found


def build_options(options_class: type, values: Mapping[str, Any]) -> Any:
    """Build an Options value from text or typed values, checking each.

    Parameters
    ----------
    options_class : type
        A dataclass whose fields were made by `option`.
    values : mapping of str to object
        By field name; strings are converted to the field's type.

    Raises
    ------
    UsageError
        An unknown name, a value of the wrong type, out of range or not among the choices.
    """
    fields = {field.name: field for field in option_fields(options_class)}
    checked = {}
    for name, value in values.items():
        if name not in fields:
            raise UsageError(f"There is no option {name!r}: {did_you_mean(name, list(fields))}")
        checked[name] = _checked(fields[name], value)
    return options_class(**checked)


def options_from_text(options_class: type, text: str) -> Any:
    """Build an Options value from ``key=value,key=value``.

    A comma that no key follows belongs to the value before it.

    Raises
    ------
    UsageError
        When the text has another form, or `build_options` refuses it.
    """
    parts = [part.partition("=") for part in re.split(r",(?=\s*\w+\s*=)", text) if part.strip()]
    if any(not name.strip().isidentifier() or not equals for name, equals, _ in parts):
        raise UsageError(
            f"The options {text!r} are not of the form key=value,key=value; "
            "write for example width=32,depth=4."
        )
    return build_options(options_class, {name.strip(): value.strip() for name, _, value in parts})


def options_to_text(options: Any) -> str:
    """Return the options that are not at their default, for `options_from_text`."""
    values = dataclasses.asdict(options)
    return ",".join(
        f"{field.name}={'none' if values[field.name] is None else values[field.name]}"
        for field in option_fields(type(options))
        if values[field.name] != field.default
    )


def options_to_json(options: Any) -> dict[str, Any]:
    """Return a JSON-ready mapping of an Options value."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(options).items()
    }


def _converted(field: OptionField, value: Any) -> Any:
    try:
        converted = field.kind(value)
        # int(3.7) is 3, and NaN passes every comparison with a range.
        changed = field.kind is int and isinstance(value, float) and converted != value
        if not changed and not (field.kind is float and not math.isfinite(converted)):
            return converted
    except (TypeError, ValueError, OverflowError):
        pass
    raise UsageError(f"The option {field.name} is of type {field.kind.__name__}, not {value!r}.")


def _checked(field: OptionField, value: Any) -> Any:
    if value is None or (field.optional and value == "none"):
        if field.optional:
            return None
        raise UsageError(f"The option {field.name} needs a value.")
    if field.kind is bool and isinstance(value, str):
        if value.lower() not in {"true", "false", "yes", "no", "1", "0"}:
            raise UsageError(f"The option {field.name} is yes or no, not {value!r}.")
        value = value.lower() in {"true", "yes", "1"}
    elif field.kind is tuple:
        value = tuple(value)
    else:
        value = _converted(field, value)
    if field.choices and value not in field.choices:
        raise UsageError(
            f"The option {field.name} is one of {', '.join(field.choices)}, not {value!r}."
        )
    low, high = field.minimum, field.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"from {low} to {high}"
        raise UsageError(f"The option {field.name} is {span}, not {value}.")
    return value
