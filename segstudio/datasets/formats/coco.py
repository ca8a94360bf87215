"""COCO instances: a JSON file of polygons and run lengths, and the images that it names.

The instances become a semantic map: see `segstudio.datasets.coco_masks` for what lies on top
(the smaller one).  With COCO's own 80 categories, what nobody annotated is ignored, because it is
not known to be none of them; in other files it is the class "background".

References
----------
T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segstudio.core.errors import NoDatasetError, SegStudioError, SizeMismatchError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.categories import build_label_space, read_categories
from segstudio.datasets.coco_files import AnnotationFile, find_json, list_samples
from segstudio.datasets.coco_masks import paint_instances

_OTHERS = ("captions_", "person_keypoints_", "image_info_", "stuff_")
"""Beginnings of COCO's other files: read only when there is no file of instances."""


@FORMATS.register("coco")
class CocoFormat(DatasetFormat):
    """COCO's instance annotations as semantic maps."""

    description = "COCO instances: annotations/instances_*.json (polygons, RLE) and its images."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.9 when a JSON file in or near the folder looks like COCO's instances."""
        kinds = list(find_json(path))
        if any(kind.has_segmentations and not kind.has_segments for kind in kinds):
            return 0.9
        return 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """List the images of the annotation files; see `DatasetFormat.open`.

        ``path`` may be the JSON file itself.
        """
        found = [kind.path for kind in find_json(path) if not kind.has_segments]
        chosen = [entry for entry in found if not entry.name.startswith(_OTHERS)] or found
        if not chosen:
            raise NoDatasetError(
                f"{path} is not in COCO's layout: it has no JSON file with images, annotations and "
                "categories, such as annotations/instances_val2017.json."
            )
        root = root_of(path)
        files, complaints = open_files(chosen)
        listed = list_samples(root, files)
        if not listed.samples:
            raise NoDatasetError(
                f"None of the images that {files[0].path} names is below {root}; put the images "
                "beside it."
            )
        categories = read_categories(files[0].categories, files[0].path)
        ids = {entry.id for entry in categories}
        for other in files[1:]:
            for entry in read_categories(other.categories, other.path):
                if entry.id not in ids:
                    ids.add(entry.id)
                    categories.append(entry)
        space = build_label_space(
            categories,
            root.resolve().name,
            f"Categories of {files[0].path.name}.",
            known=("coco", "coco-panoptic"),
            background=True,
        )
        return Dataset(
            root=root,
            format=cls.name,
            samples=tuple(listed.samples),
            label_space=label_space or space,
            splits=split_names(listed.samples),
            title=path.resolve().name,
            notes=(*complaints, *listed.notes),
            decoder=_Decoder({str(file.path): file for file in files}, listed.entries, ids),
        )


def root_of(path: Path) -> Path:
    """Return the folder that sample ids are relative to: above ``annotations/``."""
    if not path.is_file():
        return path
    return path.parent.parent if path.parent.name.lower() == "annotations" else path.parent


def open_files(paths: list[Path]) -> tuple[list[AnnotationFile], list[str]]:
    """Open COCO files; broken ones become notes as long as one is whole.

    Raises
    ------
    NoDatasetError
        When all are broken, with the first one's mistake.
    """
    files: list[AnnotationFile] = []
    complaints: list[str] = []
    for path in paths:
        try:
            files.append(AnnotationFile(path))
        except SegStudioError as error:
            complaints.append(str(error))
    if not files:
        raise NoDatasetError(complaints[0])
    return files, complaints


@dataclass(frozen=True, eq=False)
class _Decoder:
    files: dict[str, AnnotationFile]
    entries: dict[str, dict[str, Any]]
    ids: set[int]

    def __call__(self, sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
        image = self.entries[sample.sample_id]
        origin = f"{sample.target_path}, image {image['file_name']}"
        declared = image.get("height"), image.get("width")
        # Polygons would lie somewhere else on an image of another size, and nobody would know.
        if all(isinstance(value, int) for value in declared) and declared != shape:
            raise SizeMismatchError(
                f"{origin}, was annotated at {declared[0]} x {declared[1]} pixels (height x "
                f"width), but {sample.image_path} is {shape[0]} x {shape[1]}."
            )
        annotations = self.files[str(sample.target_path)].annotations(image["id"])
        return paint_instances(annotations, shape, source_id=self._source_id, origin=origin)

    def image_id(self, sample_id: str) -> Any:
        return self.entries[sample_id]["id"]

    def _source_id(self, category: Any) -> int:
        if category not in self.ids:
            raise ValueError("no such category")
        return int(category)
