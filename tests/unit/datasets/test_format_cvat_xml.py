"""What CVAT writes as XML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError
from segstudio.datasets.formats import cvat_xml
from segstudio.datasets.formats.cvat_xml import CvatXmlFormat

SHAPE = (30, 40)


def read(format: Any, root: Path) -> np.ndarray:
    dataset = format.open(root)
    return dataset.read_target(dataset.samples[0])


def cvat(root: Path, shapes: str, *, name: str = "a.jpg", head: str = "", width: int = 40) -> None:
    labels = "".join(
        f"<label><name>{n}</name><color>{c}</color><attributes><attribute><name>age</name>"
        "</attribute></attributes></label>"
        for n, c in (("car", "#fa3253"), ("road", ""))
    )
    (root / "annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><version>1.1</version>'
        f"<meta><task><labels>{labels}</labels></task></meta>"
        f'<image id="0" name="{name}" width="{width}" height="30">{shapes}</image></annotations>'
    )


def test_cvat_paints_by_z_order(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("images/a.jpg")
    square = "5,5;15,5;15,15;5,15"
    cvat(
        tmp_path,
        f'<polygon label="car" points="{square}" z_order="2"/>'
        f'<polygon label="road" points="{square}" z_order="1"><attribute name="a">1</attribute>'
        "</polygon>"
        '<mask label="road" rle="1, 2, 1, 2" left="20" top="10" width="3" height="2" z_order="0"/>'
        '<box label="car" xtl="0" ytl="0" xbr="3" ybr="3"/>',
    )
    dataset = CvatXmlFormat.open(tmp_path)
    assert dataset.label_space is not None
    assert dataset.label_space.names == ["background", "car", "road"]
    assert dataset.label_space.colors[1] == (250, 50, 83)
    assert "left out: 1 box." in dataset.notes[0]
    target = dataset.read_target(dataset.samples[0])
    expected = np.zeros(SHAPE, int)
    expected[5:15, 5:15] = 1
    expected[10:12, 21:23] = 2
    assert np.array_equal(target, expected)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ('<mask label="car" rle="3" left="39" top="0" width="3" height="1"/>', "outside its image"),
        ('<mask label="car" rle="3" left="0" top="29" width="1" height="3"/>', "outside its image"),
        ('<mask label="car" rle="3" left="-1" top="0" width="3" height="1"/>', "outside its image"),
        ('<mask label="car" rle="9999999999" left="0" top="0" width="3" height="1"/>', "longer"),
        ('<mask label="car" rle="1,1" left="0" top="0" width="3" height="1"/>', "2 pixels"),
        ('<mask label="car" rle="x" left="0" top="0" width="3" height="1"/>', "damaged run"),
        ('<mask label="car" rle="3"/>', "without its box"),
        ('<polygon label="car" points="1,a;2,3"/>', "no pairs of numbers"),
        ('<polygon label="car" points="1,2;3"/>', "no list of x, y"),
    ],
)
def test_broken_cvat_shapes(
    image: Callable[[str], Path], tmp_path: Path, shapes: str, message: str
) -> None:
    image("a.jpg")
    cvat(tmp_path, shapes)
    with pytest.raises(LabelValueError, match=message):
        read(CvatXmlFormat, tmp_path)


def test_broken_and_hostile_xml(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("a.jpg")
    cvat(tmp_path, "<mask")
    with pytest.raises(NoDatasetError, match=r"not well-formed.* at line 1, column"):
        CvatXmlFormat.open(tmp_path)
    cvat(tmp_path, "&b;", head='<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>')
    with pytest.raises(NoDatasetError, match="a document type"):
        CvatXmlFormat.open(tmp_path)
    cvat(tmp_path, "")
    damaged = (tmp_path / "annotations.xml").read_text().replace("utf-8", "utf-..8")
    (tmp_path / "annotations.xml").write_text(damaged)
    with pytest.raises(NoDatasetError, match=r"unknown encoding: utf-\.\.8\.$"):
        CvatXmlFormat.open(tmp_path)
    cvat(tmp_path, "", name="../../etc/passwd")
    with pytest.raises(NoDatasetError, match="None of the 1 image"):
        CvatXmlFormat.open(tmp_path)
    cvat(tmp_path, "</image><track/><image>")
    with pytest.raises(NoDatasetError, match="tracks of a video"):
        CvatXmlFormat.open(tmp_path)
    cvat(tmp_path, "", width=10**9)
    with pytest.raises(SizeMismatchError, match="30 x 1000000000"):
        read(CvatXmlFormat, tmp_path)


@pytest.mark.parametrize("block", [1, 7, 100])
def test_cvat_s_tags_may_go_on_in_the_next_block(
    image: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    image("a.jpg")
    shape = '<mask label="car" left="1" top="2" width="2" height="2" z_order="0" rle="0, 4"></mask>'
    cvat(tmp_path, shape)
    whole = read(CvatXmlFormat, tmp_path)
    monkeypatch.setattr(cvat_xml, "_BLOCK", block)
    assert np.array_equal(read(CvatXmlFormat, tmp_path), whole) and whole.any()
