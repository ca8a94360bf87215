"""The one unit of edit: what a box of a label map held before and what it holds after."""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.types import BBox, LabelMap

__all__ = ["MaskPatch"]


@dataclass(frozen=True, slots=True, eq=False)
class MaskPatch:
    """A change of a label map inside a box.

    Attributes
    ----------
    box : BBox
        Where, in image pixels; never empty, inside the image.
    before, after : ndarray of shape (box.height, box.width), dtype of the label map
        What the box held and what it holds now.
    """

    box: BBox
    before: LabelMap
    after: LabelMap

    def __post_init__(self) -> None:
        expected = (self.box.height, self.box.width)
        if self.before.shape != expected or self.after.shape != expected:
            raise ValueError(
                f"patch arrays {self.before.shape}, {self.after.shape} do not fill {self.box}"
            )

    def inverse(self) -> MaskPatch:
        """Return the patch that takes this one back."""
        return MaskPatch(self.box, self.after, self.before)
