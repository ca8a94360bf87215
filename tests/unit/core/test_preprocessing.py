"""Preprocessing as a value that travels with a checkpoint."""

from __future__ import annotations

import json

import pytest

from segstudio.core.preprocessing import Preprocessing


@pytest.mark.parametrize(
    "value",
    [
        Preprocessing(),
        Preprocessing(
            mean=(1.0, 2.0, 3.0),
            std=(4.0, 5.0, 6.0),
            channel_order="bgr",
            resize="keep-ratio",
            size=(2048, 512),
            antialias=True,
            divisor=32,
            align_corners=True,
            window=(512, 512),
            stride=(341, 341),
        ),
    ],
)
def test_it_survives_json(value: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(value.to_json()))) == value


def test_every_field_is_written() -> None:
    assert set(Preprocessing().to_json()) == set(Preprocessing.__slots__)


def test_what_is_missing_has_its_default_and_what_is_unknown_is_ignored() -> None:
    assert Preprocessing.from_json({"divisor": 8, "of_a_later_version": 1}) == Preprocessing(
        divisor=8
    )
