"""Files that nobody thought of: each format and each small parser on mutated bytes.

``pytest -m heavy tests/contracts/test_fuzz.py`` looks for SEGSTUDIO_FUZZ_SECONDS (10) seconds of
the processor per parser; what it finds is kept as a case of an ordinary test.  A failure here
prints the bytes.
More than 170 seconds need ``-o faulthandler_timeout=0``: the suite ends tests that take longer.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from segstudio.core.errors import SegStudioError
from segstudio.datasets.base import FORMATS
from segstudio.datasets.blobs import decode_box_runs, decode_brush, decode_png_mask, inflate
from segstudio.datasets.classes import read_class_file
from segstudio.datasets.coco_masks import decode_counts, decode_segmentation
from segstudio.datasets.colors import read_color_file
from segstudio.datasets.images import read_image, read_image_size, read_source_map
from segstudio.datasets.json_files import index_arrays, read_json
from segstudio.datasets.rows import open_rows
from segstudio.datasets.shapes import ShapePainter, checked_points

Maker = Callable[[Path], int]
SECONDS = float(os.environ.get("SEGSTUDIO_FUZZ_SECONDS", "10"))
MEMORY = 400_000_000
TOKENS = [
    b"", b"\0", b"\xff\xff\xff\xff", b"../../", b"/etc/passwd", b"1e999", b"-1", b"9" * 30, b"NaN",
    b"null", b"true", b"{}", b"[]", b'"', b"\\", b"\n", b"<", b"&", b"]]>", b"\xef\xbb\xbf",
    b"\xed",
]  # fmt: skip


@st.composite
def changes(draw: Any) -> list[tuple[str, float, bytes, int]]:
    """Return some changes of a file: what, where (0..1 of its length), with what, how much."""
    kinds = st.sampled_from(["flip", "insert", "delete", "cut", "repeat", "replace"])
    data = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8))
    place = st.floats(0, 1, allow_nan=False)
    one = st.tuples(kinds, place, data, st.integers(1, 64))
    return draw(st.lists(one, min_size=1, max_size=5))


def mutated(data: bytes, steps: list[tuple[str, float, bytes, int]]) -> bytes:
    for kind, place, piece, amount in steps:
        at = int(place * len(data))
        if kind == "flip" and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << amount % 8)]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + amount :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "repeat":
            data = data[:at] + data[at : at + amount] * 3 + data[at + amount :]
        elif kind == "replace":
            data = data[:at] + piece + data[at + len(piece) :]
    return data


def search(values: Any, work: Callable[[Any], object]) -> int:
    """Try ``work`` on values for SECONDS, in rounds of their own seed; return how many it was."""
    begun, tried, round_ = time.monotonic(), 0, 0
    end = time.process_time() + SECONDS

    def once(value: Any) -> None:
        nonlocal tried
        if time.process_time() < end:
            tried += 1
            work(value)

    while time.process_time() < end:
        test = given(values)(once)
        test = settings(
            max_examples=40, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )(test)  # fmt: skip
        seed(round_)(test)()
        round_ += 1
    wall = time.monotonic() - begun
    logging.getLogger(__name__).info("%d values in %.0f s (%.0f s)", tried, SECONDS, wall)
    return tried


@pytest.mark.heavy
@pytest.mark.parametrize("name", FORMATS.names())
def test_formats(
    name: str, tmp_path: Path, layouts: dict[str, Maker], exercise: Callable[[Path, str], int]
) -> None:
    layouts[name](tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    kept = {path: path.read_bytes() for path in files}
    # Photographs are the smallest part of what there is to get wrong.
    chosen = [path for path in files if path.suffix != ".jpg"] or files
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def work(value: tuple[int, list[tuple[str, float, bytes, int]]]) -> None:
        path = chosen[value[0]]
        path.write_bytes(mutated(kept[path], value[1]))
        try:
            exercise(tmp_path, name)
        finally:
            path.write_bytes(kept[path])

    tried = search(st.tuples(st.integers(0, len(chosen) - 1), changes()), work)
    assert tried > 0
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MEMORY, f"{grown} bytes more"


def _picture(kind: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    (picture.quantize(16) if kind in ("GIF",) else picture).save(stream, format=kind)
    return stream.getvalue()


KINDS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
PALETTE = io.BytesIO()
Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).convert("P").save(PALETTE, "PNG")


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
def test_pictures(kind: str, tmp_path: Path) -> None:
    whole = PALETTE.getvalue() if kind == "PNG" else _picture(kind)
    path = tmp_path / f"a.{kind.lower()}"

    def work(steps: list[tuple[str, float, bytes, int]]) -> None:
        path.write_bytes(mutated(whole, steps))
        for read in (read_image, read_image_size, read_source_map, _all_rows):
            with contextlib.suppress(SegStudioError):
                read(path)

    search(changes(), work)


def _all_rows(path: Path) -> None:
    source = open_rows(path, whole_pixels=1)
    source.read_rows(0, min(source.height, 64))


TEXTS = {
    "colours": (b"64 128 64\tAnimal\n192 0 128\tArch\n", "label_colors.txt", read_color_file),
    "labelmap": (b"# label:color\ncar:1,2,3::\n", "labelmap.txt", read_color_file),
    "csv": (b"name,r,g,b\ncar,1,2,3\n", "class_dict.csv", read_color_file),
    "classes": (b"a\nb\n__ignore__\n", "classes.txt", read_class_file),
    "label space": (
        b'{"name": "x", "classes": [{"name": "a", "id": 3, "color": [1, 2, 3]}, "b"], "void": 7}',
        "classes.json",
        read_class_file,
    ),
    "json": (b'{"a": [1, {"b": "\\u00e9\\""}], "c": [{}, {"d": []}]}', "a.json", read_json),
    "json arrays": (
        b'{"images": [{"id": 1}, {"id": 2}], "annotations": [{"image_id": 1}]}',
        "a.json",
        lambda path: [index_arrays(path).load(key) for key in index_arrays(path).arrays],
    ),
}


@pytest.mark.heavy
@pytest.mark.parametrize("what", sorted(TEXTS))
def test_texts(what: str, tmp_path: Path) -> None:
    whole, name, read = TEXTS[what]
    path = tmp_path / name

    def work(steps: list[tuple[str, float, bytes, int]]) -> None:
        path.write_bytes(mutated(whole, steps))
        with contextlib.suppress(SegStudioError):
            read(path)

    search(changes(), work)


NUMBERS = st.one_of(st.integers(), st.floats(), st.none(), st.text(max_size=3), st.booleans())
VALUES = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=8),
        st.dictionaries(st.sampled_from(["size", "counts", "a"]), inner, max_size=3),
    ),
    max_leaves=20,
)
DECODERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "run lengths": (
        st.one_of(VALUES, st.binary(max_size=40), st.text(max_size=40)),
        lambda value: decode_counts(value, (9, 7), "x"),
    ),
    "segmentations": (VALUES, lambda value: decode_segmentation(value, (9, 7), "x")),
    "brushes": (
        st.one_of(VALUES, st.binary(max_size=60).map(list)),
        lambda value: decode_brush(value, (4, 4), "x"),
    ),
    "box runs": (VALUES, lambda value: decode_box_runs(value, 5, 7, "x")),
    "zlib": (st.binary(max_size=80), lambda value: inflate(value, 100, "x")),
    "masks": (st.binary(max_size=80), lambda value: decode_png_mask(value, (9, 7), "x")),
    "points": (VALUES, lambda value: checked_points(value, "x")),
    "polygons": (
        st.lists(st.tuples(st.floats(), st.floats()), max_size=8),
        lambda value: ShapePainter((9, 7)).polygon(value, 1, "x", outline=True),
    ),
}


@pytest.mark.heavy
@pytest.mark.parametrize("what", sorted(DECODERS))
def test_decoders(what: str) -> None:
    values, decode = DECODERS[what]

    def work(value: Any) -> None:
        with contextlib.suppress(SegStudioError):
            decode(value)

    search(values, work)
