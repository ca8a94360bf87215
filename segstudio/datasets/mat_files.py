"""Label maps in MATLAB files (version 5 to 7.2), which hold arrays and text and run nothing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, UnreadableImageError

__all__ = ["read_mat_map"]

_MAX_BYTES = 1 << 28


def read_mat_map(path: Path, variable: str, shape: tuple[int, int]) -> NDArray[Any]:
    """Return one (H, W) integer array of a MATLAB file.

    Parameters
    ----------
    path : Path
        The file.
    variable : str
        Its name.
    shape : (int, int)
        Height and width of the image; a header that declares another size is refused before the
        pixels are read.

    Returns
    -------
    ndarray of shape (H, W), uint16

    Raises
    ------
    UnreadableImageError
        When the file is missing, damaged or too large.
    LabelValueError
        When it has no such array, or one of another size or with other numbers.
    """
    import scipy.io

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UnreadableImageError(f"{path} is larger than 256 MiB and is not read.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            declared = {name: size for name, size, _ in scipy.io.whosmat(str(path))}
            if variable not in declared:
                raise LabelValueError(f"{path} has no array {variable}.")
            if tuple(declared[variable]) != shape:
                raise LabelValueError(
                    f"{path} has an array {variable} of the size {declared[variable]}, but the "
                    f"image is {shape[0]} x {shape[1]} (height x width)."
                )
            found = scipy.io.loadmat(str(path), variable_names=[variable])[variable]
    except (LabelValueError, UnreadableImageError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UnreadableImageError(
            f"{path} is damaged or no MATLAB file ({reason}); replace it by a whole copy."
        ) from error
    values = np.asarray(found)
    if values.shape != shape or values.dtype.kind not in "uif":
        raise LabelValueError(f"{path} has an array {variable} that is no label map.")
    whole = values.astype(np.int64) if np.isfinite(values).all() else np.full(shape, -1)
    if not (whole == values).all() or int(whole.min(initial=0)) < 0 or int(whole.max()) > 65535:
        raise LabelValueError(f"{path} has numbers in {variable} that are no class ids.")
    return whole.astype(np.uint16)
