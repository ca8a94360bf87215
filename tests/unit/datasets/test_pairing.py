"""Images meet their label files by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstudio.datasets.pairing import TARGET_ENDINGS, FileIndex, TargetIndex, without_suffix


def index(*names: str) -> TargetIndex:
    return TargetIndex((name, Path("/t", name)) for name in names)


@pytest.mark.parametrize("ending", ["", *TARGET_ENDINGS])
def test_endings_are_tolerated(ending: str) -> None:
    targets = index(f"a/0001{ending}.png", f"a/0002{ending}.png")
    assert targets.find("a/0001.jpg") == Path(f"/t/a/0001{ending}.png")
    assert targets.find("a/0003.jpg") is None
    assert targets.find("0001.jpg") is None
    assert targets.unused() == [f"a/0002{ending}.png"]


def test_the_equal_name_comes_before_endings_and_those_in_their_order() -> None:
    assert index("x_mask.png", "x.png").find("x.jpg") == Path("/t/x.png")
    both = index("x_gtFine_labelTrainIds.png", "x_gtFine_labelIds.png")
    assert both.find("x_leftImg8bit.png") == Path("/t/x_gtFine_labelIds.png")


def test_images_whose_own_name_ends_like_a_label() -> None:
    targets = index("street_label.png", "street.png")
    assert targets.find("street_label.jpg") == Path("/t/street_label.png")
    assert targets.find("street.jpg") == Path("/t/street.png")


def test_results_that_keep_the_image_ending() -> None:
    targets = index("a/1.jpg.png", "a/1.png.png")
    assert targets.find("a/1.jpg") == Path("/t/a/1.jpg.png")
    assert targets.find("a/1.png") == Path("/t/a/1.png.png")


def test_without_suffix() -> None:
    assert without_suffix("a.b/c.d.png") == "a.b/c.d"
    assert without_suffix("a.b/.hidden") == "a.b/.hidden"


def test_files_are_found_by_the_names_that_lists_give_them() -> None:
    names = ["val/a.jpg", "train/a.jpg", "train/b.jpg", "x/y z.jpg"]
    files = FileIndex((name, Path("/t", name)) for name in names)
    assert files.find("train/a.jpg") == "train/a.jpg"
    assert files.find("a.jpg", ("val/",)) == "val/a.jpg"
    assert files.find("/home/me/train/a.jpg") == "train/a.jpg"
    assert files.find("D:\\me\\x\\y z.jpg") == "x/y z.jpg"
    assert files.find("elsewhere/b.jpg") == "train/b.jpg"
    assert files.find("a.jpg") is None  # two folders have one
    for outside in ("../../etc/passwd", "/etc/passwd", "..", "", "/"):
        assert files.find(outside) is None


def test_names_that_differ_in_case_pair_when_nothing_else_is_meant() -> None:
    targets = index("a.PNG", "sub/B_MASK.png", "c.png", "D.png", "d.tif", "E.png", "f.png")
    names = ["A.JPG", "Sub/b_leftimg8bit.jpg", "c.jpg", "C.jpg", "d.jpg", "e.jpg", "e.bmp"]
    found = targets.find_all([(name,) for name in names])
    assert [path and path.as_posix() for path in found] == [
        "/t/a.PNG",
        "/t/sub/B_MASK.png",
        "/t/c.png",
        None,  # c.png is c.jpg's
        "/t/d.tif",
        None,  # e.jpg and e.bmp may both be meant
        None,
    ]
    assert targets.unused() == ["D.png", "E.png", "f.png"]


def test_label_files_that_differ_in_case_alone_are_taken_for_their_own_images_only() -> None:
    assert index("a.png", "A.tif").find_all([("Á.jpg",), ("a.jpg",)]) == [None, Path("/t/a.png")]
    assert index("aa.png", "AA.png").find_all([("Aa.jpg",)]) == [None]


def test_annotation_files_name_images_in_any_case() -> None:
    names = ["val/IMG_1.JPG", "train/x.jpg", "train/X.jpg"]
    files = FileIndex((name, Path("/t", name)) for name in names)
    assert files.find("img_1.jpg", ("val/",)) == "val/IMG_1.JPG"
    assert files.find("C:\\data\\Val\\img_1.jpg") == "val/IMG_1.JPG"
    assert files.find("X.jpg", ("train/",)) == "train/X.jpg"
    assert files.find("train/X.JPG") is None  # which of the two, nobody can say
    assert files.find("../../etc/PASSWD") is None
