"""NYU Depth v2 and SUN RGB-D as PNG: a folder of images, one of depth, one of labels.

``rgb/``, ``depth/`` and ``labels_40/`` (or 37, 13), at the root or below ``train/`` and ``test/``;
``RGB/``, ``Depth/`` and ``Label/`` likewise.  Lists ``train.txt`` and ``test.txt`` say the splits
of a layout without folders for them.  The number in the label folder's name says which classes;
without one the dataset's own name does (NYU: 40, SUN: 37).  0 is unlabelled.

References
----------
N. Silberman et al., "Indoor segmentation and support inference from RGBD images", ECCV 2012;
S. Song, S. Lichtenberg and J. Xiao, "SUN RGB-D", CVPR 2015.
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.json_files import read_text
from segstudio.datasets.layouts import folders_of, open_pairs
from segstudio.datasets.pairing import FolderPair, without_suffix

_IMAGES = ("rgb", "image", "images")
_DEPTH = ("depth", "depth_raw", "depth_bfx", "hha")
_LABELS = (
    *("labels_40", "label_40", "labels40", "label40"),
    *("labels_37", "label_37", "labels37", "label37"),
    *("labels_13", "label_13", "labels13", "label13"),
    *("label", "labels"),
)
_SPACES = {"40": "nyu40", "37": "sunrgbd", "13": "nyu13"}
_SPLITS = {"train": "train", "val": "val", "test": "test"}


@FORMATS.register("rgbd")
class RgbdFormat(DatasetFormat):
    """NYU Depth v2 and SUN RGB-D."""

    description = "NYU Depth v2 and SUN RGB-D as PNG: rgb/, depth/ and labels_40/ (or 37, 13)."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.9 when images, depth and labels are there."""
        return 0.9 if _find(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and labels by name; see `DatasetFormat.open`."""
        pairs = _find(path)
        if not pairs:
            raise NoDatasetError(
                f"{path} is not in the layout of NYU Depth v2 or SUN RGB-D: it has no folder rgb/ "
                "with folders depth/ and labels_40/ (or 37, 13) beside it."
            )
        notes: list[str] = []
        if label_space is None:
            name = _space_name(path, pairs[0].targets)
            if name is None:
                notes.append(
                    f"{path} does not say which classes its labels are; choose nyu40, sunrgbd or "
                    "nyu13."
                )
            else:
                label_space = load_label_space(name)
        listed, complaints = _lists(path)
        flat = bool(listed) and pairs[0].split is None
        return open_pairs(
            cls.name,
            path,
            pairs,
            label_space,
            notes=(*notes, *complaints),
            split_of=(lambda relative: listed.get(without_suffix(relative))) if flat else None,
        )


def _find(path: Path) -> list[FolderPair]:
    pairs = []
    for folder, split in {"": None, **_SPLITS}.items():
        names = folders_of(path / folder)
        image = next((names[name] for name in _IMAGES if name in names), None)
        label = next((names[name] for name in _LABELS if name in names), None)
        if image and label and any(name in names for name in _DEPTH):
            prefix = f"{folder}/" if folder else ""
            pairs.append(FolderPair(prefix + image, prefix + label, split))
    return pairs


def _space_name(path: Path, folder: str) -> str | None:
    counted = next((space for count, space in _SPACES.items() if folder.endswith(count)), None)
    if counted is not None:
        return counted
    name = path.resolve().name.lower()
    return "nyu40" if "nyu" in name else "sunrgbd" if "sun" in name else None


def _lists(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return splits by image name from ``train.txt`` and its kin, and what is wrong with them."""
    found: dict[str, str] = {}
    complaints: list[str] = []
    for split in _SPLITS:
        if (path / f"{split}.txt").is_file():
            try:
                lines = read_text(path / f"{split}.txt").splitlines()
            except UsageError as error:
                complaints.append(str(error))
                continue
            for line in filter(None, map(str.strip, lines)):
                name = line.split()[0].rpartition("/")[2]
                found.setdefault(without_suffix(name), split)
    return found, complaints
