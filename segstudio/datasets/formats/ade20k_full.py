"""The full ADE20K: ``images/.../ADE_train_00000001.jpg`` with ``..._seg.png`` beside it.

A segmentation picture codes the object class as ``256 * (R // 10) + G``, 0 is unlabelled; B tells
instances apart and is not needed.  The releases of 2016 (``_atr.txt``) and 2021 (a JSON file and a
folder of instances per image) are both read.  The classes of the benchmark have their names from
`segstudio.datasets.ade20k_objects`, others from the JSON files of the first samples, or all from a
``label_space.json`` beside ``images/``; a class that nothing names is called after its number, as
in the label space "ade20k-full" that comes with SegStudio.  The index files (``index_ade20k.pkl``,
``.mat``) are not opened: a pickle may run code, and a table of objects by images, hundreds of
megabytes, stands in the same structure as the names.

References
----------
B. Zhou et al., "Scene parsing through ADE20K dataset", CVPR 2017.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX_16, Sample
from segstudio.datasets.ade20k_objects import SCENE_PARSING_OBJECTS
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.categories import Category, build_label_space
from segstudio.datasets.classes import find_label_space
from segstudio.datasets.images import read_image
from segstudio.datasets.listing import list_files, peek, plural
from segstudio.datasets.pairing import without_suffix

_BASES = ("images/ADE", "images", "")
_SPLITS = {"training": "train", "validation": "val", "testing": "test", "consistencycheck": None}
_STARTS = {"ADE_train_": "train", "ADE_val_": "val"}
_SEGMENTATION = "_seg.png"
_CLASSES = 3688
"""Object classes of the release of 2021; that of 2016 has fewer."""
_READ_FOR_NAMES = 400
_LARGEST_JSON = 1 << 24


@FORMATS.register("ade20k-full")
class Ade20kFullFormat(DatasetFormat):
    """ADE20K with all object classes."""

    description = "Full ADE20K (2016 and 2021): ADE_*.jpg with ADE_*_seg.png beside each image."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.96 when an ADE image with its coded segmentation is met."""
        return 0.0 if _find_base(path) is None else 0.96

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """List the images that have a segmentation; see `DatasetFormat.open`."""
        base = _find_base(path)
        if base is None:
            raise NoDatasetError(
                f"{path} is not in the layout of the full ADE20K: neither it nor a folder "
                "training/ or validation/ in it holds ADE_*.jpg with ADE_*_seg.png beside it."
            )
        listing = list_files(path / base, (".jpg", ".png", ".json"))
        prefix = f"{base}/" if base else ""
        files = dict(listing.files)
        samples: list[Sample] = []
        without: list[str] = []
        for relative, full in listing.files:
            if not relative.endswith(".jpg"):
                continue
            target = files.get(f"{without_suffix(relative)}{_SEGMENTATION}")
            if target is None:
                without.append(relative)
            samples.append(Sample(prefix + relative, full, target, _split_of(relative)))
        notes = list(listing.notes)
        if without:
            notes.append(f"{plural(len(without), 'image')} without _seg.png, {without[0]} first.")
        if label_space is None:
            label_space, complaints = find_label_space(path)
            notes += complaints
        if label_space is None:
            beside = [f"{without_suffix(s.sample_id.removeprefix(prefix))}.json" for s in samples]
            label_space, more = object_space([files[name] for name in beside if name in files])
            notes += more
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space,
            splits=split_names(samples) if all(s.split for s in samples) else (),
            title=path.resolve().name,
            notes=tuple(notes),
            decoder=_read,
        )


def _find_base(path: Path) -> str | None:
    """Return where the folders of the splits are."""
    for base in _BASES:
        if any(_holds_pair(path / base / split) for split in _SPLITS):
            return base
    # A part of it: the folder of one kind of scene.
    return "" if _holds_pair(path, below=False) else None


def _holds_pair(folder: Path, *, below: bool = True) -> bool:
    """Return whether a look meets an image with its segmentation beside it."""
    entries = peek(folder, 400)
    found = {name for name, is_folder in entries if not is_folder and (below or "/" not in name)}
    return any(
        f"{name.removesuffix(_SEGMENTATION)}.jpg" in found
        for name in found
        if name.endswith(_SEGMENTATION) and "ADE_" in name
    )


def _split_of(relative: str) -> str | None:
    """Return the split by the top folder, or in a part of the dataset by the file's name."""
    folder, name = relative.partition("/")[0], relative.rpartition("/")[2]
    if folder in _SPLITS:
        return _SPLITS[folder]
    return next((split for start, split in _STARTS.items() if name.startswith(start)), None)


def _read(sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
    path = sample.target_path
    assert path is not None
    pixels = read_image(path)
    ids = (pixels[:, :, 0] // 10).astype(np.uint16) * np.uint16(256) + pixels[:, :, 1]
    if (pixels[:, :, 0] % 10).any():
        raise LabelValueError(
            f"{path} has red values that are no multiple of 10, as ADE20K's coding has; it may "
            "have been saved with loss."
        )
    return ids


def object_space(files: list[Path]) -> tuple[LabelSpace, list[str]]:
    """Return the label space of all object classes.

    Parameters
    ----------
    files : list of Path
        JSON files of images; the first 400 name what the benchmark's classes do not.

    Returns
    -------
    space : LabelSpace
        Of 16-bit ids, called "ade20k-full".
    notes : list of str
        One sentence when not all classes may have got their names.
    """
    names: dict[int, str] = {}
    for path in files[:_READ_FOR_NAMES]:
        names |= _names_in(path)
    names |= SCENE_PARSING_OBJECTS
    known = set(SCENE_PARSING_OBJECTS.values())
    taken: dict[str, int] = {}
    categories = []
    for number in range(1, max(_CLASSES, *names, 0) + 1):
        name = names.get(number, f"object {number}")
        # Some objects of several meanings share a name; a label space wants each once.
        if number not in SCENE_PARSING_OBJECTS and name in known:
            name = f"{name} ({number})"
        if taken.setdefault(name, number) != number:
            name = f"{name} ({number})"
        categories.append(Category(number, name))
    notes = []
    if len(files) > _READ_FOR_NAMES:
        notes.append(
            f"Class names are those of the first {_READ_FOR_NAMES} images; a label_space.json "
            "beside the images names all."
        )
    elif not files:
        notes.append(
            f"No JSON file names the classes; all but {len(SCENE_PARSING_OBJECTS)} are called "
            "after their numbers. A label_space.json beside the images names them; the index "
            "files (.mat, .pkl) are not read."
        )
    source = "Object classes of ADE20K, named by its JSON files."
    return build_label_space(categories, "ade20k-full", source, ignored=[IGNORE_INDEX_16]), notes


def _names_in(path: Path) -> dict[int, str]:
    """Return names by class number in an image's JSON file; nothing of a broken one."""
    try:
        with open(path, "rb") as stream:
            # These files are Latin-1, which their release does not say.
            document = json.loads(stream.read(_LARGEST_JSON).decode("latin-1"))
        entries = document["annotation"]["object"]
        found: dict[int, str] = {}
        for entry in [entries] if isinstance(entries, dict) else entries:
            number, name = int(entry["name_ndx"]), str(entry["name"]).strip()
            if 0 < number < IGNORE_INDEX_16 and name:
                found.setdefault(number, name)
        return found
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return {}
