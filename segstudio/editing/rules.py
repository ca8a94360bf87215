"""Rules of painting: which pixels a stroke may change, whatever the tool.

The rules are kept beside the label map, never in it, and applied in one place, by
`segstudio.editing.driver.StrokeDriver`: a tool need not know them and cannot get around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SizeMismatchError, UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox, LabelMap, Mask
from segstudio.editing.geometry import mask_bounds, moved

__all__ = ["PaintRules", "Protection"]


@dataclass(frozen=True, slots=True)
class PaintRules:
    """What may be painted over.

    Attributes
    ----------
    locked : frozenset of int
        Classes whose pixels stay as they are; the ignore index may be one of them.
    only_over : frozenset of int or None
        The only classes whose pixels may change: ``{ignore_index}`` is "only where unlabelled".
        None for any.
    entropy_above : float or None
        Only pixels whose entropy, divided by log C, is larger; 0..1.  None for any.
    """

    locked: frozenset[int] = frozenset()
    only_over: frozenset[int] | None = None
    entropy_above: float | None = None

    @property
    def is_free(self) -> bool:
        """Whether every pixel may be changed."""
        return not self.locked and self.only_over is None and self.entropy_above is None


class Protection:
    """The rules for one label map.

    Parameters
    ----------
    rules : PaintRules
    label_map : ndarray of shape (H, W), uint8 or uint16
        What is painted.
    entropy : ndarray of shape (H, W), uint8, or None
        Entropy divided by log C, times 255.

    Raises
    ------
    UsageError
        When a rule needs the entropy and there is none.
    SizeMismatchError
        When the entropy has another size.
    """

    def __init__(
        self, rules: PaintRules, label_map: LabelMap, entropy: NDArray[np.uint8] | None
    ) -> None:
        self.held_back = 0
        self._open: NDArray[np.bool_] | None = None
        self._entropy: NDArray[np.uint8] | None = None
        self._above = 0
        if rules.locked or rules.only_over is not None:
            self._open = _open_values(rules, label_map.dtype)
        if rules.entropy_above is None:
            return
        if entropy is None:
            raise UsageError(
                "Painting is limited to uncertain pixels, but this image has no entropy map; "
                "run a model on it or switch that rule off."
            )
        if entropy.shape != label_map.shape:
            raise SizeMismatchError(
                f"The entropy map has {entropy.shape[0]} x {entropy.shape[1]} pixels, but the "
                f"correction has {label_map.shape[0]} x {label_map.shape[1]}."
            )
        self._entropy = entropy
        # For whole numbers e > t is e > floor(t).
        self._above = int(np.floor(rules.entropy_above * 255))

    @property
    def is_free(self) -> bool:
        """Whether `restrict` returns every patch as it is."""
        return self._open is None and self._entropy is None

    def allowed(self, label_map: LabelMap, box: BBox, *, step: int = 1) -> Mask:
        """Return where the rules allow painting.

        Parameters
        ----------
        label_map : ndarray of shape (H, W)
            As it is now.
        box : BBox
            Inside the image.
        step : int
            Only every ``step``-th row and column is looked at.

        Returns
        -------
        ndarray of shape (ceil(box.height / step), ceil(box.width / step)), bool
        """
        part = label_map[box.slices][::step, ::step]
        mask = np.ones(part.shape, np.bool_) if self._open is None else self._open[part]
        if self._entropy is not None:
            mask &= self._entropy[box.slices][::step, ::step] > self._above
        return mask

    def restrict(self, patch: MaskPatch) -> MaskPatch | None:
        """Return the part of a patch that the rules allow, None when nothing of it is.

        `held_back` counts the pixels that were left out.
        """
        if self.is_free:
            return patch
        changed = patch.before != patch.after
        wanted = int(np.count_nonzero(changed))
        if self._open is not None:
            changed &= self._open[patch.before]
        if self._entropy is not None:
            changed &= self._entropy[patch.box.slices] > self._above
        held_back = wanted - int(np.count_nonzero(changed))
        if not held_back:
            return patch
        self.held_back += held_back
        bounds = mask_bounds(changed)
        if bounds is None:
            return None
        before = patch.before[bounds.slices].copy()
        after = before.copy()
        np.copyto(after, patch.after[bounds.slices], where=changed[bounds.slices])
        return MaskPatch(moved(bounds, patch.box.top, patch.box.left), before, after)


def _open_values(rules: PaintRules, dtype: np.dtype[Any]) -> NDArray[np.bool_]:
    """Return for each value of a type whether a pixel that holds it may change."""
    size = int(np.iinfo(dtype).max) + 1
    may = np.full(size, rules.only_over is None)
    if rules.only_over is not None:
        may[[value for value in rules.only_over if 0 <= value < size]] = True
    may[[value for value in rules.locked if 0 <= value < size]] = False
    return may
