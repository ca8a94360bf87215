"""Label maps, random strokes and pointers for the tests of the editing room."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.stroke import Stroke
from segstudio.editing.tool import TOOLS

CLASSES = 11
"""Of the 8-bit maps."""

CLASSES_16 = 400
"""Of the 16-bit maps."""


def make_map(
    seed: int = 0, height: int = 90, width: int = 120, *, dtype: str = "uint8"
) -> NDArray[np.generic]:
    """Return a map of blocks of random classes, some of them unlabelled."""
    rng = np.random.default_rng(seed)
    classes = CLASSES if dtype == "uint8" else CLASSES_16
    ignore = np.iinfo(dtype).max
    blocks = rng.integers(0, classes + 1, (height // 8 + 1, width // 8 + 1))
    blocks[blocks == classes] = ignore
    return np.kron(blocks, np.ones((8, 8), int))[:height, :width].astype(dtype)


def make_document(label_map: NDArray[np.generic], **more: object) -> MaskDocument:
    """Return a document of the map."""
    wide = label_map.dtype == np.uint16
    return MaskDocument(
        label_map,
        ignore_index=65535 if wide else 255,
        classes=CLASSES_16 if wide else CLASSES,
        **more,  # type: ignore[arg-type]
    )


def at(kind: str, row: float, col: float, **more: object) -> PointerEvent:
    """Return a pointer event."""
    return PointerEvent(PointerKind(kind), row, col, **more)  # type: ignore[arg-type]


def drag(driver: StrokeDriver, points: list[tuple[float, float]], **more: object) -> Stroke | None:
    """Run one stroke through the points."""
    driver.press(at("press", *points[0], **more))
    for point in points[1:]:
        driver.move(at("move", *point, **more))
    return driver.release(at("release", *points[-1], **more))


def random_points(
    rng: np.random.Generator, height: int, width: int, count: int
) -> list[tuple[float, float]]:
    """Return positions in and a little outside of an image."""
    rows = rng.uniform(-0.3 * height, 1.3 * height, count)
    cols = rng.uniform(-0.3 * width, 1.3 * width, count)
    return list(zip(rows.tolist(), cols.tolist(), strict=True))


def random_stroke(document: MaskDocument, rng: np.random.Generator) -> Stroke | None:
    """Paint, erase or fill somewhere."""
    tool = TOOLS.get(str(rng.choice(["brush", "brush", "eraser", "fill"])))()
    options = None
    if "size" in tool.Options.__dataclass_fields__:
        options = tool.Options(
            size=int(rng.integers(1, 40)), shape=str(rng.choice(["round", "square"]))
        )
    value = int(rng.integers(0, document.classes))
    driver = StrokeDriver(document, tool, active_class=value, options=options)
    return drag(driver, random_points(rng, *document.shape, int(rng.integers(1, 6))))


@pytest.fixture
def kit() -> SimpleNamespace:
    """Return the helpers above; test modules are not importable from each other."""
    return SimpleNamespace(
        make_map=make_map,
        make_document=make_document,
        at=at,
        drag=drag,
        random_points=random_points,
        random_stroke=random_stroke,
    )
