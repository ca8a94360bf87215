"""What formats of paired folders share: which folders are there, and the dataset of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset, TargetDecoder, split_names
from segstudio.datasets.listing import peek, suffix_of
from segstudio.datasets.pairing import FolderPair, pair_folders

__all__ = ["first_file", "folders_of", "open_pairs", "pairs_there"]


def folders_of(path: Path) -> dict[str, str]:
    """Return the names of a folder's first few hundred sub-folders by their lower case."""
    found: dict[str, str] = {}
    try:
        with os.scandir(path) as entries:
            for index, entry in enumerate(entries):
                if index >= 400:
                    break
                if entry.is_dir():
                    found[entry.name.lower()] = entry.name
    except OSError:
        return {}  # opening says why
    return found


def pairs_there(path: Path, pairs: Iterable[FolderPair]) -> list[FolderPair]:
    """Return the pairs whose image folder exists, none unless a label folder does too."""
    found = [pair for pair in pairs if (path / pair.images).is_dir()]
    return found if any((path / pair.targets).is_dir() for pair in found) else []


def first_file(folder: Path, suffixes: frozenset[str]) -> Path | None:
    """Return a file with one of the endings from a look at 200 entries."""
    for name, is_folder in peek(folder, 200):
        if not is_folder and suffix_of(name) in suffixes:
            return folder / name
    return None


def open_pairs(
    name: str,
    path: Path,
    pairs: Iterable[FolderPair],
    label_space: LabelSpace | None,
    *,
    decoder: TargetDecoder | None = None,
    notes: Iterable[str] = (),
    **options: Any,
) -> Dataset:
    """Return the dataset of pairs of folders.

    Parameters
    ----------
    name : str
        The format's name.
    path : Path
        The dataset's root.
    pairs : iterable of FolderPair
        In the order in which their samples are shown.
    label_space : LabelSpace or None
        Of the source ids.
    decoder : TargetDecoder, optional
        See `Dataset`.
    notes : iterable of str
        What is known already.
    **options
        See `segstudio.datasets.pairing.pair_folders`.

    Raises
    ------
    NoDatasetError
        When none of the image folders holds an image.
    """
    samples: list[Sample] = []
    remarks = list(notes)
    folders = []
    for pair in pairs:
        found, more = pair_folders(path, pair, **options)
        samples += found
        remarks += more
        folders.append(f"{pair.images}/")
    if not samples:
        raise NoDatasetError(
            f"{path} is in the layout of the format {name}, but {' and '.join(folders)} "
            f"{'holds' if len(folders) == 1 else 'hold'} no image."
        )
    return Dataset(
        root=path,
        format=name,
        samples=tuple(samples),
        label_space=label_space,
        splits=split_names(samples),
        title=path.resolve().name,
        notes=tuple(remarks),
        decoder=decoder,
    )
