"""Mapillary Vistas: ``training/``, ``validation/``, ``testing/`` and a ``config*.json``.

Version 1.2 is read where both are there; the config's classes that are not evaluated are ignored.

References
----------
G. Neuhold et al., "The Mapillary Vistas dataset for semantic understanding of street scenes",
ICCV 2017.
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError, SegStudioError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.categories import Category, build_label_space
from segstudio.datasets.json_files import read_json
from segstudio.datasets.layouts import open_pairs, pairs_there
from segstudio.datasets.pairing import FolderPair

_SPLITS = {"training": "train", "validation": "val", "testing": "test"}
_VERSIONS = {"v1.2/labels": "config_v1.2.json", "v2.0/labels": "config_v2.0.json", "labels": ""}
_RESOURCE = "mapillary-vistas"


@FORMATS.register("mapillary")
class MapillaryFormat(DatasetFormat):
    """Mapillary Vistas 1.2 and 2.0."""

    description = "Mapillary Vistas: training/images/, training/v1.2/labels/, ..., config JSON."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when folders and config are there, 0.85 without the config."""
        found = _find(path)
        if found is None:
            return 0.0
        return 0.95 if _config(path, found[0]) is not None else 0.85

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and labels by name; see `DatasetFormat.open`."""
        found = _find(path)
        if found is None:
            raise NoDatasetError(
                f"{path} is not in the layout of Mapillary Vistas: it has no folder "
                "training/images/ or validation/images/ with v1.2/labels/ or labels/ beside it."
            )
        version, pairs = found
        notes: list[str] = []
        if label_space is None:
            label_space = load_label_space(_RESOURCE)
            config = _config(path, version)
            if config is not None:
                try:
                    label_space = _space(config)
                except SegStudioError as error:
                    notes.append(str(error))
        return open_pairs(cls.name, path, pairs, label_space, notes=notes)


def _find(path: Path) -> tuple[str, list[FolderPair]] | None:
    """Return the version's label folder and the pairs; splits are folders of the authors' names."""
    for version in _VERSIONS:
        pairs = pairs_there(
            path,
            (
                FolderPair(f"{folder}/images", f"{folder}/{version}", split)
                for folder, split in _SPLITS.items()
            ),
        )
        # labels/ alone is how many others are laid out too.
        if pairs and (version != "labels" or _config(path, version) is not None):
            return version, pairs
    return None


def _config(path: Path, version: str) -> Path | None:
    names = [name for name in (_VERSIONS[version], "config.json") if name]
    if version == "labels":
        names += ["config_v1.2.json", "config_v2.0.json"]
    return next((path / name for name in names if (path / name).is_file()), None)


def _space(config: Path) -> LabelSpace:
    """Return the label space of a config; ids are places in its list.

    Raises
    ------
    SegStudioError
        When the file is no config of Mapillary's.
    """
    document = read_json(config)
    try:
        entries = [
            (
                index,
                str(entry.get("readable") or entry["name"]),
                tuple(int(part) for part in entry["color"]),
                bool(entry.get("evaluate", True)),
            )
            for index, entry in enumerate(document["labels"])
        ]
        kept = [
            Category(index, name, (color[0], color[1], color[2]))
            for index, name, color, is_evaluated in entries
            if is_evaluated
        ]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise SegStudioError(
            f"{config} is no config of Mapillary Vistas ({error}); the classes of version 1.2 are "
            "assumed."
        ) from error
    ignored = [index for index, _, _, is_evaluated in entries if not is_evaluated]
    return build_label_space(
        kept, _RESOURCE, f"Classes of {config.name}.", known=(_RESOURCE,), ignored=ignored
    )
