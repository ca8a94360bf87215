"""From an Options dataclass to command-line flags, and from flags back to a value."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from segstudio.core.options import OptionField, build_options, option_fields

__all__ = ["parse_pairs", "with_options"]


def with_options(options_class: type, parameter: str) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that turns one parameter of a command into a flag per field.

    The command receives the built Options value as ``parameter``.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        fields = option_fields(options_class)
        signature = inspect.signature(command, eval_str=True)
        kept = [entry for name, entry in signature.parameters.items() if name != parameter]

        def wrapper(**arguments: Any) -> Any:
            values = {field.name: arguments.pop(field.name) for field in fields}
            return command(**arguments, **{parameter: build_options(options_class, values)})

        wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*kept, *(_flag(field) for field in fields)]
        )
        wrapper.__name__ = command.__name__
        wrapper.__doc__ = command.__doc__
        return wrapper

    return decorate


def _flag(field: OptionField) -> inspect.Parameter:
    dashed = field.name.replace("_", "-")
    names = f"--{dashed}/--no-{dashed}" if field.kind is bool else f"--{dashed}"
    text = field.help
    if field.choices:
        text += f" One of {', '.join(field.choices)}."
    # Ranges and choices are checked by build_options, so that the window says the same sentence.
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(field.default, names, help=text),
        annotation=field.kind | None if field.optional else field.kind,
    )


def parse_pairs(pairs: list[str]) -> dict[str, str]:
    """Parse ``key=value`` arguments.

    Raises
    ------
    UsageError
        When one has no ``=``.
    """
    from segstudio.core.errors import UsageError

    parsed = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UsageError(f"An option is written name=value, not {pair!r}.")
        parsed[key.strip().replace("-", "_")] = value.strip()
    return parsed
