"""The catalogue of published checkpoints: what they are, where they can be had, where they lie.

``resources/catalogue/SOURCE.json`` holds one block per checkpoint; nothing of it needs torch or the
network.  A fetched checkpoint lies in a folder of its own below the cache folder, under the name
that its authors gave it.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from segstudio.core.errors import SegStudioError, UnknownNameError
from segstudio.core.preprocessing import Preprocessing
from segstudio.core.registry import did_you_mean
from segstudio.core.resources import resource_path

__all__ = [
    "CatalogueEntry",
    "PublishedFile",
    "cache_folder",
    "cached_path",
    "entry_folder",
    "entry_of_file",
    "find_entry",
    "find_weights",
    "load_catalogue",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
"""What may become a folder's name on every system."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that somebody published.

    Attributes
    ----------
    url : str
    sha256_prefix : str or None
        First hexadecimal digits of its SHA-256, None when they are not published.
    bytes : int or None
        Its exact size, None when it is not published.
    """

    url: str
    sha256_prefix: str | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError(f"{self.url!r} is not an http address")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.url!r} does not end in a file name")
        prefix = self.sha256_prefix
        if prefix is not None and not re.fullmatch("[0-9a-f]{8,64}", prefix):
            raise ValueError(f"{prefix!r} is not the beginning of a SHA-256")

    @property
    def name(self) -> str:
        """Its name on disk: the last part of its address."""
        return urlsplit(self.url).path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A published checkpoint.

    Attributes
    ----------
    name, title : str
        Name for commands; name for people.
    source : str
        Who published it: "mmsegmentation", "huggingface", "segmenter" or "torchvision".
    architecture, variant : str
        Name in the registry; the variant for people.
    dataset, label_space : str
        What it was trained on, for people; name of the label space of its outputs.
    classes, parameters : int
        Number of outputs; of trainable parameters without auxiliary heads.
    weights : tuple of PublishedFile
        The checkpoint file; those after the first are taken when the one before is not there.
    beside : tuple of PublishedFile
        Small files that lie beside it, none of them needed.
    estimated_bytes : int
        Roughly the size of the checkpoint file.
    miou, miou_ms_flip : float or None
        Published mean IoU, 0..100: single scale; multi-scale with flipped copies.
    miou_source, facts_source : str
        Where the scores stand; where the rest comes from.
    preprocessing : Preprocessing
        The published test path.
    licence : str
        SPDX identifier, or "other: " and a name.
    """

    name: str
    title: str
    source: str
    architecture: str
    variant: str
    dataset: str
    label_space: str
    classes: int
    parameters: int
    weights: tuple[PublishedFile, ...]
    beside: tuple[PublishedFile, ...]
    estimated_bytes: int
    miou: float | None
    miou_ms_flip: float | None
    miou_source: str
    facts_source: str
    preprocessing: Preprocessing
    licence: str

    @property
    def url(self) -> str:
        """Address of the checkpoint file."""
        return self.weights[0].url

    @property
    def bytes(self) -> int:
        """Size of the checkpoint file: the published one, else the estimate."""
        return self.weights[0].bytes or self.estimated_bytes

    @property
    def publisher(self) -> str:
        """What people call the source."""
        return _PUBLISHERS.get(self.source, self.source)


_PUBLISHERS = {
    "mmsegmentation": "MMSegmentation",
    "huggingface": "Hugging Face",
    "segmenter": "rstrudel/segmenter",
}


@functools.cache
def load_catalogue() -> tuple[CatalogueEntry, ...]:
    """Return every published checkpoint that is known, by name.

    Raises
    ------
    SegStudioError
        When a file of the catalogue cannot be read: the installation is damaged.
    """
    found: dict[str, CatalogueEntry] = {}
    for path in sorted(resource_path("catalogue").glob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            for values in data["entries"]:
                entry = _entry(data["source"], data["facts"], values)
                if entry.name in found:
                    raise ValueError(f"{entry.name} stands there twice")
                found[entry.name] = entry
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise SegStudioError(
                f"{path} of the model catalogue cannot be read ({reason}); "
                "please install SegStudio again."
            ) from error
    return tuple(found[name] for name in sorted(found))


def _entry(source: str, facts: str, values: Mapping[str, Any]) -> CatalogueEntry:
    """Return the entry of one block; anything odd raises what `load_catalogue` catches."""
    texts = {
        key: _checked(values, key, str)
        for key in (
            "name",
            "title",
            "architecture",
            "variant",
            "dataset",
            "label_space",
            "miou_source",
            "licence",
        )
    }
    if not _NAME.fullmatch(texts["name"]):
        raise ValueError(f"{texts['name']!r} is no name")
    weights = tuple(PublishedFile(**entry) for entry in values["weights"])
    if not weights:
        raise ValueError(f"{texts['name']} has no file")
    return CatalogueEntry(
        **texts,
        source=source,
        facts_source=facts,
        weights=weights,
        beside=tuple(PublishedFile(url) for url in values.get("beside", ())),
        preprocessing=Preprocessing.from_json(values["test"]),
        miou=_score(values, "miou"),
        miou_ms_flip=_score(values, "miou_ms_flip"),
        **{key: _checked(values, key, int) for key in ("classes", "parameters", "estimated_bytes")},
    )


def _checked(values: Mapping[str, Any], key: str, kind: type) -> Any:
    value = values[key]
    if not isinstance(value, kind) or not value:
        raise ValueError(f"{key} is {value!r}")
    return value


def _score(values: Mapping[str, Any], key: str) -> float | None:
    value = values[key]
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"{key} is {value!r}")
    return float(value)


def find_entry(name: str) -> CatalogueEntry:
    """Return the published checkpoint called ``name``.

    Raises
    ------
    UnknownNameError
        When there is none; the message offers the nearest names.
    """
    entries = {entry.name: entry for entry in load_catalogue()}
    entry = entries.get(name)
    if entry is None:
        raise UnknownNameError(
            f"There is no published model {name!r}: {did_you_mean(name, list(entries))}"
        )
    return entry


# -- on this machine ------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return where fetched checkpoints lie; ``SEGSTUDIO_CACHE`` names another cache folder."""
    folder = os.environ.get("SEGSTUDIO_CACHE")
    if folder:
        return Path(folder).expanduser() / "checkpoints"
    import platformdirs

    return Path(platformdirs.user_cache_dir("segstudio", appauthor=False)) / "checkpoints"


def entry_folder(entry: CatalogueEntry) -> Path:
    """Return the folder of an entry's files; it need not exist."""
    return cache_folder() / entry.name


def find_weights(entry: CatalogueEntry) -> tuple[PublishedFile, Path] | None:
    """Return the checkpoint file that is on this machine, None when there is none."""
    folder = entry_folder(entry)
    for file in entry.weights:
        path = folder / file.name
        if path.is_file():
            return file, path
    return None


def cached_path(entry: CatalogueEntry) -> Path | None:
    """Return what to open for an entry, None when it is not on this machine.

    The folder when other files lie beside the checkpoint, which say more about it; else the file.
    """
    found = find_weights(entry)
    if found is None:
        return None
    path = found[1]
    return path.parent if entry.beside else path


def entry_of_file(path: Path | str) -> CatalogueEntry | None:
    """Return the entry that a checkpoint file or folder is, told from names alone.

    A file is known by the name that only one entry publishes, else by the cache folder, or the
    publisher's folder, that it lies in.  No byte is read: what a file holds may differ.

    Parameters
    ----------
    path : Path or str
        A file, or a folder that holds one; need not exist.
    """
    path = Path(path).absolute()
    owners = _owners()
    claims = owners.get(path.name, ())
    if len(claims) == 1:
        return claims[0]
    # Names such as checkpoint.pth say nothing; of the folders above them the nearest one decides.
    folders = list(path.parents[:3])
    if not claims:
        snapshot = (folder for folder in folders[:2] if folder.name.startswith("models--"))
        folders = [path, *snapshot]
    for folder in folders:
        near = owners.get(f"{folder.parent.name}/{folder.name}/") or owners.get(f"{folder.name}/")
        if near and len(near) == 1 and (not claims or near[0] in claims):
            return near[0]
    return None


@functools.cache
def _owners() -> dict[str, tuple[CatalogueEntry, ...]]:
    """Return the entries by file name, and by folder name with a slash behind it."""
    owners: dict[str, list[CatalogueEntry]] = {}
    for entry in load_catalogue():
        for file in entry.weights:
            owners.setdefault(file.name, []).append(entry)
        places = {f"{entry.name}/"}
        if entry.beside:
            places |= _published_folders(entry)
        for place in places:
            owners.setdefault(place, []).append(entry)
    return {key: tuple(entries) for key, entries in owners.items()}


def _published_folders(entry: CatalogueEntry) -> set[str]:
    """Return how the folder of an entry's files is called where it was copied whole."""
    parts = urlsplit(entry.url).path.split("/")[1:-1]
    if entry.source == "huggingface":
        owner, name = parts[:2]
        # A clone, and the cache of Hugging Face's own client.
        return {f"{name}/", f"{owner}/{name}/", f"models--{owner}--{name}/"}
    return {f"{parts[-1]}/", f"{parts[-2]}/{parts[-1]}/"}
