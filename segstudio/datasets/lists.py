"""Lists of samples: one name per line, one file per split, as PASCAL VOC keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from segstudio.core.errors import UsageError
from segstudio.core.types import Sample
from segstudio.datasets.json_files import read_text
from segstudio.datasets.listing import plural
from segstudio.datasets.pairing import without_suffix

__all__ = ["SPLIT_OF_LIST", "read_splits", "samples_of_lists"]

SPLIT_OF_LIST = {
    "train": "train",
    "val": "val",
    "test": "test",
    "trainaug": "train",
    "train_aug": "train",
    "trainval": "trainval",
    "default": "default",
}
"""Split that the samples of a list are in; the first list that names a sample decides."""


def read_splits(folder: Path) -> tuple[dict[str, str], list[str], list[str]]:
    """Read the lists of a folder (``ImageSets/Segmentation``).

    Returns
    -------
    splits : dict of str to str
        Split by name, in the order of the lists: train, val, test, then the others.
    lists : list of str
        Names of the lists that were read.
    notes : list of str
        One sentence for each list that cannot be read.
    """
    known = list(SPLIT_OF_LIST)
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() == ".txt"]
    except OSError:
        return {}, [], []

    def rank(path: Path) -> tuple[int, str]:
        return (known.index(path.stem) if path.stem in known else len(known), path.stem)

    splits: dict[str, str] = {}
    notes: list[str] = []
    read: list[str] = []
    for path in sorted(found, key=rank):
        try:
            lines = read_text(path).splitlines()
        except UsageError as error:
            notes.append(str(error))
            continue
        read.append(path.name)
        split = SPLIT_OF_LIST.get(path.stem, path.stem)
        for line in lines:
            name = line.strip().replace("\\", "/")
            if name:
                splits.setdefault(name, split)
    return splits, read, notes


def samples_of_lists(
    images: Mapping[str, tuple[str, str]],
    targets: Mapping[str, str],
    splits: Mapping[str, str],
    where: str,
) -> tuple[list[Sample], list[str]]:
    """Return the samples that lists name, or all with ground truth when there is no list.

    Parameters
    ----------
    images : mapping
        From name (path in the image folder without ending) to sample id and path.
    targets : mapping
        From name to label file.
    splits : mapping
        From name to split; empty when there are no lists.
    where : str
        What the lists are called in notes.
    """
    samples: list[Sample] = []
    missing: list[str] = []
    without: list[str] = []
    names: Mapping[str, str] = splits or dict.fromkeys(targets, "")
    # Folding 100,000 names takes a tenth of a second, which most datasets can do without.
    any_case: dict[str, str] = {}
    if not (names.keys() <= images.keys() and targets.keys() <= images.keys()):
        any_case = _differ_in_more_than_case(images)
        targets = _named_like_images(targets, images, any_case)
    names = splits or {name: "" for name in images if name in targets}
    for name in names:
        # A line of VOC is a bare name; some tools write the file's ending or more columns.
        keys = (name, without_suffix(name), name.split()[0])
        key = next((key for key in keys if key in images), None) or next(
            (any_case[key.casefold()] for key in keys if key.casefold() in any_case), None
        )
        if key is None:
            missing.append(name)
            continue
        sample_id, full = images[key]
        target = targets.get(key)
        if target is None and splits[name] != "test":
            without.append(sample_id)
        samples.append(Sample.of_files(sample_id, full, target, splits[name] if splits else None))
    notes = []
    if missing:
        notes.append(
            f"{plural(len(missing), 'name')} of {where} without an image, {missing[0]} first."
        )
    if without:
        notes.append(f"{plural(len(without), 'listed image')} without a mask, {without[0]} first.")
    listed = {sample.sample_id for sample in samples}
    extra = [name for name in targets if name in images and images[name][0] not in listed]
    if extra:
        notes.append(
            f"{plural(len(extra), 'mask')} not named by {where} and left out, {extra[0]} first."
        )
    orphans = [name for name in targets if name not in images]
    if orphans:
        notes.append(f"{plural(len(orphans), 'mask')} without an image, {orphans[0]} first.")
    return samples, notes


def _differ_in_more_than_case(names: Collection[str]) -> dict[str, str]:
    """Return from case-folded name to name those that no other name differs from in case alone."""
    counts = Counter(name.casefold() for name in names)
    return {folded: name for name in names if counts[folded := name.casefold()] == 1}


def _named_like_images(
    targets: Mapping[str, str], images: Mapping[str, tuple[str, str]], any_case: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the label files with a name that differs from an image's in case under the image's."""
    strange = [name for name in targets if name not in images and name.casefold() in any_case]
    if not strange:
        return targets
    alone = set(_differ_in_more_than_case(targets).values())
    renamed = {name: any_case[name.casefold()] for name in strange if name in alone}
    return {renamed.get(name, name): full for name, full in targets.items()}
