"""PASCAL VOC: ``JPEGImages/``, palette masks in ``SegmentationClass/``, lists in ``ImageSets/``.

The folder may be that of a year (``VOC2012``) or one above it (``VOCdevkit``).  Masks of the
augmented set (``SegmentationClassAug/``) serve where the original has none.

References
----------
M. Everingham et al., "The PASCAL visual object classes (VOC) challenge", International Journal of
Computer Vision 88(2), 2010.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.classes import CLASS_FILES, find_label_space
from segstudio.datasets.colors import is_color_picture
from segstudio.datasets.images import TARGET_SUFFIXES
from segstudio.datasets.layouts import first_file
from segstudio.datasets.listing import list_files
from segstudio.datasets.lists import read_splits, samples_of_lists
from segstudio.datasets.pairing import without_suffix

_IMAGES = "JPEGImages"
_MASKS = ("SegmentationClass", "SegmentationClassAug", "SegmentationClassPNG")
_YEARS = ("2012", "2010", "2011", "2009", "2008", "2007")


@FORMATS.register("voc")
class VocFormat(DatasetFormat):
    """PASCAL VOC's segmentation task."""

    description = "PASCAL VOC: JPEGImages/, SegmentationClass/ (palette PNG), ImageSets/ lists."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.92 when images and masks are there; less when they are CVAT's colours."""
        base = find_base(path, _MASKS)
        if base is None:
            return 0.0
        return 0.6 if is_by_colors(path / base, _MASKS) else 0.92

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Read the lists, or take all images with a mask; see `DatasetFormat.open`."""
        base = find_base(path, _MASKS)
        if base is None:
            raise NoDatasetError(
                f"{path} is not in PASCAL VOC's layout: it has no folder JPEGImages/ with a folder "
                "SegmentationClass/ beside it."
            )
        if label_space is None:
            label_space, complaints = find_label_space(path / base)
            label_space = label_space or load_label_space("voc")
        else:
            complaints = ()
        return open_lists(
            cls.name, path, base, _MASKS, ("Segmentation",), label_space, notes=complaints
        )


def find_base(path: Path, masks: tuple[str, ...]) -> str | None:
    """Return where below ``path`` a VOC layout with one of the mask folders begins.

    Returns
    -------
    str or None
        "" or a relative path with its closing slash.
    """
    years = [f"VOC{year}/" for year in _YEARS]
    for base in ("", *years, *(f"VOCdevkit/{year}" for year in years)):
        if (path / base / _IMAGES).is_dir() and any((path / base / m).is_dir() for m in masks):
            return base
    return None


def is_by_colors(base: Path, masks: tuple[str, ...]) -> bool:
    """Return whether the masks mean colours that ``labelmap.txt`` names, as CVAT's do.

    Our own export of VOC's layout has such a file too, for others; its masks hold indices, whose
    meaning is in ``label_space.json``.
    """
    if not (base / "labelmap.txt").is_file():
        return False
    if not (base / CLASS_FILES[0]).is_file():
        return True
    first = next((f for m in masks if (f := first_file(base / m, TARGET_SUFFIXES))), None)
    return first is not None and is_color_picture(first)


def open_lists(
    name: str,
    path: Path,
    base: str,
    masks: tuple[str, ...],
    lists: tuple[str, ...],
    label_space: LabelSpace | None,
    *,
    notes: tuple[str, ...] = (),
    suffixes: Collection[str] = TARGET_SUFFIXES,
) -> Dataset:
    """List the samples of a VOC layout.

    Parameters
    ----------
    name : str
        The format's name.
    path : Path
        The dataset's root.
    base : str
        See `find_base`.
    masks : tuple of str
        Folders of masks, best first.
    lists : tuple of str
        Folders below ``ImageSets/``, best first; the first that holds lists counts.
    label_space : LabelSpace or None
        Of the masks' ids.
    notes : tuple of str
        What is known already.
    suffixes : collection of str
        Endings of the masks.

    Raises
    ------
    NoDatasetError
        When no image has a mask or is listed.
    """
    images = list_files(path / base / _IMAGES)
    remarks = [*notes, *images.notes]
    by_name = {
        without_suffix(relative): (f"{base}{_IMAGES}/{relative}", full)
        for relative, full in images.entries
    }
    targets: dict[str, str] = {}
    for folder in masks:
        if (path / base / folder).is_dir():
            found = list_files(path / base / folder, suffixes)
            remarks += found.notes
            for relative, full in found.entries:
                targets.setdefault(without_suffix(relative), full)
    splits: dict[str, str] = {}
    where = "the lists"
    for folder in lists:
        splits, read, complaints = read_splits(path / base / "ImageSets" / folder)
        remarks += complaints
        if splits:
            where = f"ImageSets/{folder}/{read[0]}" if len(read) == 1 else f"ImageSets/{folder}/"
            break
    samples, more = samples_of_lists(by_name, targets, splits, where)
    if not samples:
        raise NoDatasetError(
            f"{path} is laid out like PASCAL VOC, but no image in {_IMAGES}/ has a mask or is "
            f"named by {where}."
        )
    return Dataset(
        root=path,
        format=name,
        samples=tuple(samples),
        label_space=label_space,
        splits=split_names(samples),
        title=path.resolve().name,
        notes=(*remarks, *more),
    )
