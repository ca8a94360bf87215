"""What the numbers on errors mean, in words for a person."""

from __future__ import annotations

__all__ = ["ERROR_DEFINITIONS"]

ERROR_DEFINITIONS = {
    "boundary_iou": (
        "IoU of the inner bands along each class's outline, 2 % of the image's diagonal wide "
        "(Cheng et al. 2021); ignored pixels are taken out of both sides first."
    ),
    "error region": (
        "Wrong pixels of one target and one predicted class that touch, at corners too; ranked by "
        "area times mean confidence."
    ),
    "by size": (
        "Objects are connected pixels of one class. Right and missed pixels belong to the size of "
        "the target's object, false positives to that of the predicted object."
    ),
    "boundary": (
        "The target's object was found, and the predicted class lies within 2 % of the diagonal: "
        "the line between them runs elsewhere."
    ),
    "confused": (
        "An object that was found whole under another name, or a pixel deep inside one found "
        "class that was given to another."
    ),
    "missed": (
        "No pixel of the target's object was predicted as its class; or no class was predicted."
    ),
    "invented": (
        "No pixel of the predicted object has its class in the target, and none is within 2 % of "
        "the diagonal."
    ),
    "inside": (
        "IoU if all boundary errors were right, of this class and of its neighbours: what is lost "
        "now is lost inside objects, not along their outlines."
    ),
    "boundary share": "Share of the class's wrong pixels, missed or wrongly given to it, that are "
    "boundary errors.",
    "if fixed": "mIoU if all wrong pixels of this kind were right and the others stayed wrong.",
}
"""What the numbers mean, for tooltips and footnotes."""
