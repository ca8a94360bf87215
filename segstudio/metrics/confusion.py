"""Joint counts of a target and a prediction: the root of every score.

``confusion[target, prediction]`` in int64.  Pixels whose target is the ignore index never enter.
A last column counts predictions that equal the ignore index (a corrected map may hold it): they
miss their target and are a false positive of nobody.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, SizeMismatchError, UsageError
from segstudio.core.types import IGNORE_INDEX, LabelMap

__all__ = ["Kernel", "confusion_matrix", "kernels_are_warm", "warm_kernels"]

Kernel = Literal["auto", "numpy", "numba"]
"""Which loop counts: "auto" takes numba's for maps that are worth it once `warm_kernels` has run,
else numpy's; it never imports numba by itself."""

_SMALL = 1 << 16
"""Below this many pixels a table of all 256 x 256 pairs costs more than it saves: 0.02 against
0.1 ms for a stroke."""

_PIXELS_AT_ONCE = 1 << 20
"""Pixels that numpy widens to 64 bits at once, so that temporaries stay in the cache."""

_PIXELS_PER_TABLE = 1 << 31
"""Pixels that go into the kernels' 32-bit tables before these are added up in 64 bits."""

_WIDEST_TABLE = 8192
"""Largest side of a compiled 16-bit table (two of 268 MB); beyond, numpy counts."""

_warm: ModuleType | None = None


def warm_kernels() -> None:
    """Import numba and load (the first time on a machine: compile) the counting loops.

    Programs that count whole sets call it once, before they begin.  The window does not: its
    strokes count a few thousand pixels, which numpy does sooner than numba is imported.
    """
    global _warm
    from segstudio.metrics import _kernels

    _warm = _kernels


def kernels_are_warm() -> bool:
    """Return whether `warm_kernels` has finished in this process."""
    return _warm is not None


def resolve_kernel(kernel: Kernel) -> ModuleType | None:
    """Return the module of compiled loops, or None where numpy shall count.

    Whether numba is *being* imported by another thread must not matter, hence a reference that is
    set at the end of `warm_kernels` and no look into ``sys.modules``.

    Raises
    ------
    UsageError
        When there is no such kernel.
    """
    if kernel not in ("auto", "numpy", "numba"):
        raise UsageError(f"There is no counting kernel {kernel!r}: use auto, numpy or numba.")
    if kernel == "numba":
        warm_kernels()
    return None if kernel == "numpy" else _warm


def confusion_matrix(
    target: LabelMap,
    prediction: LabelMap,
    classes: int,
    *,
    ignore_index: int = IGNORE_INDEX,
    kernel: Kernel = "auto",
    name: str = "",
) -> NDArray[np.int64]:
    """Count the pixels of each (target, prediction) pair.

    Parameters
    ----------
    target, prediction : ndarray of shape (H, W), integer
        Label maps; need not be contiguous.  Both may be a box of larger maps: counts of parts add
        up to the counts of the whole.
    classes : int
        C.
    ignore_index : int
        Value that is no class, at least C.
    kernel : {"auto", "numpy", "numba"}
        Which loop counts; all give the same integers.
    name : str
        The sample or file, for the error.

    Returns
    -------
    ndarray of shape (C, C + 1), int64
        Rows are targets, columns predictions; column C holds ignored predictions.

    Raises
    ------
    LabelValueError
        When a map is no integer map or holds something else than 0..C-1 and the ignore index,
        be it where the other map is ignored.
    SizeMismatchError
        When the shapes differ.
    UsageError
        When the ignore index is a class.

    Notes
    -----
    torchmetrics and scikit-learn use the same orientation; detectron2's matrix is transposed and
    has its ignore row last.
    """
    target, prediction = check_maps(
        target, prediction, classes, ignore_index=ignore_index, name=name
    )
    small = kernel == "auto" and target.size < _SMALL
    module = resolve_kernel("numpy" if small else kernel)
    if module is not None and classes + 2 <= _WIDEST_TABLE:
        table, values = _joint_compiled(module, target, prediction, classes, ignore_index)
        if target.dtype != np.uint8 and (table[-1].any() or table[:, -1].any()):
            # A 16-bit table does not know which value it was.
            check_values(target, prediction, classes, ignore_index, name)
    elif target.dtype == np.uint8 and target.size >= _SMALL:
        table, values = _joint_bytes(target, prediction)
    else:
        return _confusion_small(target, prediction, classes, ignore_index, name)
    return _fold(table, values, classes, ignore_index, name)


def check_maps(
    target: LabelMap, prediction: LabelMap, classes: int, *, ignore_index: int, name: str
) -> tuple[LabelMap, LabelMap]:
    """Return both maps in one unsigned type, uint8 or uint16, values not yet checked.

    Raises
    ------
    LabelValueError, SizeMismatchError, UsageError
        As `confusion_matrix`.
    """
    if not 0 < classes <= ignore_index <= 65535:
        raise UsageError(
            f"The ignore index {ignore_index} must lie above the {classes} classes and below 65536."
        )
    for role, label_map in (("ground truth", target), ("prediction", prediction)):
        if label_map.ndim != 2 or label_map.dtype.kind not in "iu":
            raise LabelValueError(
                f"The {role}{_of(name)} is no label map but an array of shape {label_map.shape} "
                f"and type {label_map.dtype}; it must hold one class index per pixel."
            )
    if target.shape != prediction.shape:
        raise SizeMismatchError(
            f"The prediction{_of(name)} has {prediction.shape[0]} x {prediction.shape[1]} pixels, "
            f"but its ground truth has {target.shape[0]} x {target.shape[1]}; "
            "both must have the image's size."
        )
    if target.dtype == np.uint8 and prediction.dtype == np.uint8:
        return target, prediction
    return (
        _narrowed(target, f"ground truth{_of(name)}", classes),
        _narrowed(prediction, f"prediction{_of(name)}", classes),
    )


def _narrowed(label_map: LabelMap, what: str, classes: int) -> LabelMap:
    """Return the map as uint16; raise where a value does not fit."""
    if label_map.dtype.itemsize > 2 or label_map.dtype.kind == "i":
        outside = (label_map < 0) | (label_map > 65535)
        if bool(outside.any()):
            _raise_value(what, int(label_map[outside].flat[0]), classes)
    return label_map.astype(np.uint16, copy=False)


def _of(name: str) -> str:
    return f" of {name}" if name else ""


def _raise_value(what: str, value: int, classes: int) -> None:
    raise LabelValueError(
        f"The {what} holds the class index {value}, but the label space has {classes} classes; "
        "choose another label space or a mapping."
    )


def aligned_flat(label_map: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels in a row, in memory that starts at a whole 8-byte word."""
    flat = np.ascontiguousarray(label_map).reshape(-1)
    return flat if flat.__array_interface__["data"][0] % 8 == 0 else flat.copy()


def _joint_compiled(
    module: ModuleType,
    target: LabelMap,
    prediction: LabelMap,
    classes: int,
    ignore_index: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (joint table, the value that each of its rows and columns stands for)."""
    flat_target, flat_prediction = aligned_flat(target), aligned_flat(prediction)
    if target.dtype == np.uint8:
        values = np.arange(256)
    else:
        values = np.arange(classes + 2)
        values[classes:] = ignore_index, -1
    side = len(values)
    total = np.zeros(side * side, np.int64)
    for start in range(0, flat_target.size, _PIXELS_PER_TABLE):
        part = slice(start, start + _PIXELS_PER_TABLE)
        here, there = flat_target[part], flat_prediction[part]
        tables = np.zeros((2, side * side), np.uint32)
        whole = here.nbytes // 8 * 8 // here.itemsize
        words = here[:whole].view(np.uint64), there[:whole].view(np.uint64)
        if target.dtype == np.uint8:
            module.add_joint_8(here, there, *words, tables)
        else:
            module.add_joint_16(here, there, *words, classes, ignore_index, tables)
        # Fits: together they counted fewer than 2^32 pixels.
        tables[0] += tables[1]
        total += tables[0]
    return total.reshape(side, side), values


def _joint_bytes(
    target: LabelMap, prediction: LabelMap
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (256 x 256 joint table, 0..255) by `numpy.bincount` of both bytes as one number."""
    flat_target, flat_prediction = target.reshape(-1), prediction.reshape(-1)
    total = np.zeros(65536, np.int64)
    for start in range(0, flat_target.size, _PIXELS_AT_ONCE):
        part = slice(start, start + _PIXELS_AT_ONCE)
        pairs = flat_target[part].astype(np.intp)
        pairs <<= 8
        pairs |= flat_prediction[part]
        total += np.bincount(pairs, minlength=65536)
    return total.reshape(256, 256), np.arange(256)


def _fold(
    table: NDArray[np.int64],
    values: NDArray[np.int64],
    classes: int,
    ignore_index: int,
    name: str,
) -> NDArray[np.int64]:
    """Return the (C, C + 1) confusion of a joint table, checking what lies outside of it."""
    known = min(classes, len(values))
    confusion = np.zeros((classes, classes + 1), np.int64)
    confusion[:known, :known] = table[:known, :known]
    counted = int(confusion.sum())
    ignored = np.flatnonzero(values == ignore_index)
    if ignored.size:
        void = ignored[0]
        confusion[:known, classes] = table[:known, void]
        counted += int(table[:known, void].sum() + table[void, :known].sum() + table[void, void])
    if counted != int(table.sum()):
        outside = (values >= classes) & (values != ignore_index)
        for what, seen in (("ground truth", table.sum(1)), ("prediction", table.sum(0))):
            wrong = values[outside & (seen > 0)]
            if wrong.size:
                _raise_value(what + _of(name), int(wrong[0]), classes)
    return confusion


def _confusion_small(
    target: LabelMap, prediction: LabelMap, classes: int, ignore_index: int, name: str
) -> NDArray[np.int64]:
    """Return the (C, C + 1) confusion by `numpy.bincount` of the labelled pixels."""
    check_values(target, prediction, classes, ignore_index, name)
    labelled = target < classes
    rows = target[labelled].astype(np.intp)
    columns = np.minimum(prediction[labelled], classes).astype(np.intp)
    pairs = rows * (classes + 1) + columns
    counts = np.bincount(pairs, minlength=classes * (classes + 1))
    return counts.astype(np.int64, copy=False).reshape(classes, classes + 1)


def check_values(
    target: LabelMap, prediction: LabelMap, classes: int, ignore_index: int, name: str
) -> None:
    """Raise `LabelValueError` when a map holds neither a class nor the ignore index."""
    for what, label_map in (("ground truth", target), ("prediction", prediction)):
        # The largest value settles most maps without a temporary.
        if not label_map.size or int(label_map.max()) < classes:
            continue
        outside = (label_map >= classes) & (label_map != ignore_index)
        if bool(outside.any()):
            _raise_value(what + _of(name), int(label_map[outside].min()), classes)
