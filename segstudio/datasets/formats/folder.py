"""A plain folder of images, sub-folders included; no ground truth."""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.images import IMAGE_SUFFIXES
from segstudio.datasets.listing import describe_contents, list_files, peek, suffix_of


@FORMATS.register("folder")
class FolderFormat(DatasetFormat):
    """Every image in a folder and below."""

    description = "Plain folder of images, searched with its sub-folders; no ground truth."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.51 when an image is met: any other format that fits knows more."""
        if not path.is_dir():
            return 0.0
        has_image = any(
            not is_folder and suffix_of(name) in IMAGE_SUFFIXES for name, is_folder in peek(path)
        )
        return 0.51 if has_image else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """List the images; see `DatasetFormat.open`."""
        listing = list_files(path)
        if not listing.entries:
            contents = describe_contents(path)
            held = "is empty" if contents == "nothing" else f"holds {contents} but no images"
            because = f" ({listing.notes[0].rstrip('.')})" if listing.notes else ""
            raise NoDatasetError(
                f"The folder {path} {held}{because}; choose a folder with JPEG, PNG, TIFF or "
                "WebP images."
            )
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(Sample.of_files(relative, full) for relative, full in listing.entries),
            label_space=label_space,
            title=path.resolve().name,
            notes=tuple(listing.notes),
        )
