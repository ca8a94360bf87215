"""Options: what a form learns of a field, and what is refused with which sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from segstudio.core.errors import UsageError
from segstudio.core.options import build_options, option, option_fields, options_to_json


@dataclass(frozen=True)
class Sample:
    """A field of each kind."""

    width: int = option(32, "Width.", minimum=1, maximum=64)
    rate: float = option(0.5, "Rate.", minimum=0)
    kind: str = option("plain", "Kind.", choices=("plain", "fancy"))
    fast: bool = option(False, "Fast.")
    limit: int | None = option(None, "Limit.", minimum=1)
    sizes: tuple[int, ...] = option((1, 2), "Sizes.")


def test_fields_tell_a_form_all_it_needs() -> None:
    fields = {field.name: field for field in option_fields(Sample)}
    assert list(fields) == ["width", "rate", "kind", "fast", "limit", "sizes"]
    assert [field.kind for field in fields.values()] == [int, float, str, bool, int, tuple]
    assert [name for name, field in fields.items() if field.optional] == ["limit"]
    width = fields["width"]
    assert (width.default, width.minimum, width.maximum, width.help) == (32, 1, 64, "Width.")
    assert fields["kind"].choices == ("plain", "fancy") and fields["rate"].choices == ()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Sample()),
        ({"width": "7", "rate": "1e-3"}, Sample(width=7, rate=0.001)),
        ({"fast": "yes"}, Sample(fast=True)),
        ({"fast": "No"}, Sample(fast=False)),
        ({"limit": "3"}, Sample(limit=3)),
        ({"limit": "none"}, Sample(limit=None)),
        ({"limit": None}, Sample(limit=None)),
        ({"sizes": [4, 5]}, Sample(sizes=(4, 5))),
        ({"width": 1}, Sample(width=1)),
        ({"width": 3.0, "rate": 2}, Sample(width=3, rate=2.0)),
        ({"width": 64}, Sample(width=64)),
    ],
)
def test_text_and_typed_values_become_the_same_options(
    values: dict[str, Any], expected: Sample
) -> None:
    built = build_options(Sample, values)
    assert built == expected
    assert isinstance(built.width, int) and isinstance(built.rate, float)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"widht": 3}, "There is no option 'widht': did you mean width?"),
        ({"width": "wide"}, "The option width is of type int, not 'wide'."),
        ({"width": 0}, "The option width is from 1 to 64, not 0."),
        ({"width": 65}, "The option width is from 1 to 64, not 65."),
        ({"rate": -0.1}, "The option rate is at least 0, not -0.1."),
        ({"kind": "odd"}, "The option kind is one of plain, fancy, not 'odd'."),
        ({"fast": "maybe"}, "The option fast is yes or no, not 'maybe'."),
        ({"width": None}, "The option width needs a value."),
        ({"rate": "nan"}, "The option rate is of type float, not 'nan'."),
        ({"rate": float("inf")}, "The option rate is of type float, not inf."),
        ({"width": 3.5}, "The option width is of type int, not 3.5."),
        ({"width": float("inf")}, "The option width is of type int, not inf."),
    ],
)
def test_a_bad_value_is_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_options(Sample, values)
    assert str(caught.value) == sentence


def test_json_round_trip() -> None:
    options = Sample(width=9, sizes=(7,), limit=2)
    data = options_to_json(options)
    assert data["sizes"] == [7]
    assert build_options(Sample, data) == options
