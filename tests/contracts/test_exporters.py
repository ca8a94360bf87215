"""What every exporter has to do, over the registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, SegStudioError, UsageError
from segstudio.core.label_space import load_label_space
from segstudio.core.options import build_options, option_fields
from segstudio.core.types import Sample
from segstudio.exporters.base import EXPORTERS, Exporter, ExportItem

SPACE = load_label_space("camvid")


def make_items(count: int = 3) -> list[ExportItem]:
    """Return samples with random label maps, ignored pixels among them."""
    items = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        label_map = rng.integers(0, 12, (9, 13)).astype(np.uint8)
        label_map[label_map == 11] = 255
        image = rng.integers(0, 256, (9, 13, 3)).astype(np.uint8)
        sample = Sample(f"a/{seed}.jpg", Path(f"/data/a/{seed}.jpg"))
        items.append(ExportItem(sample, lambda m=label_map: m, lambda i=image: i))
    return items


@pytest.fixture(params=EXPORTERS.names())
def exporter(request: pytest.FixtureRequest) -> Exporter:
    return EXPORTERS.get(request.param)()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_it_says_what_it_is_and_its_options_build(exporter: Exporter) -> None:
    assert exporter.description.endswith(".")
    assert build_options(exporter.Options, {}) == exporter.Options()
    assert all(field.help for field in option_fields(exporter.Options))


def test_it_writes_what_it_says_and_nothing_half(exporter: Exporter, tmp_path: Path) -> None:
    paths = exporter.write(make_items(), tmp_path / "out", label_space=SPACE)
    assert paths and all(path.is_file() and path.stat().st_size for path in paths)
    assert not list((tmp_path / "out").rglob("*.segstudio-part"))
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_it_knows_beforehand_which_files_it_writes(exporter: Exporter, tmp_path: Path) -> None:
    items = make_items()
    places = exporter.places(items, SPACE)
    assert not list(tmp_path.iterdir()), "nothing is written to tell"
    exporter.write(items, tmp_path, label_space=SPACE)
    assert sorted(places) == sorted(contents(tmp_path))


def test_it_is_deterministic(exporter: Exporter, tmp_path: Path) -> None:
    for name in ("one", "two"):
        exporter.write(make_items(), tmp_path / name, label_space=SPACE)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_it_overwrites_only_when_told_to(exporter: Exporter, tmp_path: Path) -> None:
    paths = exporter.write(make_items(), tmp_path, label_space=SPACE)
    before = contents(tmp_path)
    paths[0].write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        exporter.write(make_items(), tmp_path, label_space=SPACE)
    assert paths[0].read_bytes() == b"mine"
    exporter.write(make_items(), tmp_path, label_space=SPACE, existing="keep")
    assert paths[0].read_bytes() == b"mine"
    exporter.write(make_items(), tmp_path, label_space=SPACE, existing="replace")
    assert contents(tmp_path) == before


def test_a_bad_label_map_is_named_and_the_rest_goes_on(exporter: Exporter, tmp_path: Path) -> None:
    items = make_items()
    bad = ExportItem(items[1].sample, lambda: np.full((9, 13), 77, np.uint8), items[1].read_image)
    failures: list[tuple[str, SegStudioError]] = []
    done: list[str] = []
    exporter.write(
        [items[0], bad, items[2]],
        tmp_path,
        label_space=SPACE,
        on_failed=lambda item, error: failures.append((item.sample.sample_id, error)),
        on_written=lambda item: done.append(item.sample.sample_id),
    )
    assert done == ["a/0.jpg", "a/2.jpg"]
    assert [name for name, _ in failures] == ["a/1.jpg"]
    assert isinstance(failures[0][1], LabelValueError) and "a/1.jpg" in str(failures[0][1])
    with pytest.raises(LabelValueError):
        exporter.write([bad], tmp_path / "again", label_space=SPACE)


def test_nothing_is_left_of_the_destination(exporter: Exporter, tmp_path: Path) -> None:
    sample = Sample("../../escape.jpg", Path("/data/escape.jpg"))
    item = make_items(1)[0]
    with pytest.raises(UsageError, match="no place below a folder"):
        exporter.write(
            [ExportItem(sample, item.read_label_map, item.read_image)],
            tmp_path / "out",
            label_space=SPACE,
        )
    assert not list(tmp_path.iterdir())


def test_the_names_that_others_rely_on_are_there() -> None:
    fixed = {"index-png", "color-png", "overlay-png", "voc", "coco-rle", "coco-panoptic"}
    assert {*fixed, "cityscapes", "labelme", "scores-csv"} <= set(EXPORTERS.names())


def test_what_was_lost_is_said_in_sentences(exporter: Exporter, tmp_path: Path) -> None:
    assert list(exporter.notes) == []
    exporter.write(make_items(), tmp_path, label_space=SPACE)
    assert all(note[0].isalpha() and note.endswith(".") for note in exporter.notes)
    first = list(exporter.notes)
    exporter.write(make_items(), tmp_path, label_space=SPACE, existing="replace")
    assert list(exporter.notes) == first, "one export's losses are not added to the next"
