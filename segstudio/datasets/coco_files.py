"""What COCO's instance and panoptic files share: finding them, their images, their annotations.

Opening reads the list of images and the categories; where each image's annotations stand in the
file is looked up when the first ground truth is read, and then only those are parsed.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segstudio.core.errors import LabelValueError, UsageError
from segstudio.core.types import Sample
from segstudio.datasets.json_files import JsonArrays, index_arrays
from segstudio.datasets.listing import list_files, plural, suffix_of
from segstudio.datasets.pairing import FileIndex

__all__ = ["AnnotationFile", "CocoKind", "find_json", "list_samples"]

_LOOK = 1 << 16
_FOLDERS = ("annotations", "annotation", "Annotations", "labels")
_SPLITS = (
    ("train", "train"),
    ("val", "val"),
    ("valid", "val"),
    ("test", "test"),
    ("minival", "val"),
)


@dataclass(frozen=True, slots=True)
class CocoKind:
    """What a look at both ends of a JSON file says about it.

    Attributes
    ----------
    path : Path
        The file.
    has_segmentations, has_segments : bool
        Whether ``segmentation`` (instances) or ``segments_info`` (panoptic) was met.
    """

    path: Path
    has_segmentations: bool
    has_segments: bool


def find_json(path: Path) -> Iterator[CocoKind]:
    """Yield the COCO files of a folder, or of its ``annotations/``; or the given file itself.

    At most 24 JSON files are looked at, 64 KiB at either end of each.
    """
    if path.is_file():
        candidates = [path]
    else:
        candidates = []
        for folder in (path, *(path / name for name in _FOLDERS)):
            try:
                with os.scandir(folder) as entries:
                    names = [entry.name for entry in itertools.islice(entries, 400)]
            except OSError:
                continue
            candidates += [
                folder / name
                for name in sorted(names)
                if suffix_of(name) == ".json" and not name.startswith(".")
            ]
    for candidate in candidates[:24]:
        kind = _look(candidate)
        if kind is not None:
            yield kind


def _look(path: Path) -> CocoKind | None:
    try:
        with open(path, "rb") as stream:
            head = stream.read(_LOOK)
            stream.seek(max(len(head), os.fstat(stream.fileno()).st_size - _LOOK))
            ends = head + stream.read(_LOOK)
    except OSError:
        return None
    if not ends.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    found = [key for key in (b'"images"', b'"annotations"', b'"categories"') if key in ends]
    names_files = b'"file_name"' in ends or b'"category_id"' in ends
    if len(found) < 2 or not names_files:
        return None
    return CocoKind(path, b'"segmentation"' in ends, b'"segments_info"' in ends)


class AnnotationFile:
    """One COCO file: its images and categories, and where annotations stand.

    Raises
    ------
    UsageError
        When the file is no JSON object of COCO's form; with line and column.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._json: JsonArrays = index_arrays(path)
        self.images: list[Any] = self._json.load("images")
        self.categories: Any = self._json.load("categories")
        if "images" not in self._json.arrays or "annotations" not in self._json.arrays:
            raise UsageError(f"{path} has no lists of images and annotations; COCO's files do.")
        self._places: dict[bytes, list[tuple[int, int]]] | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def annotations(self, image_id: Any) -> list[dict[str, Any]]:
        """Return the parsed annotations of an image, in the order of the file.

        Raises
        ------
        LabelValueError
            When one of them is broken or the file has changed.
        """
        with self._lock:
            if self._places is None:
                self._places = self._index()
        spans = self._places.get(json.dumps(image_id).encode(), ())
        found: list[dict[str, Any]] = []
        with open(self.path, "rb") as stream:
            for start, end in spans:
                stream.seek(start)
                try:
                    entry = json.loads(stream.read(end - start))
                except (ValueError, RecursionError) as error:
                    raise LabelValueError(
                        f"{self.path} has a broken annotation at byte {start}: {error}."
                    ) from error
                if not isinstance(entry, dict) or entry.get("image_id") != image_id:
                    raise LabelValueError(
                        f"{self.path} has no annotation of image {image_id} at byte {start} any "
                        "more; open the dataset again."
                    )
                found.append(entry)
        return found

    def _index(self) -> dict[bytes, list[tuple[int, int]]]:
        """Return the byte ranges of annotations by their image id as it is written."""
        span = self._json.arrays["annotations"]
        pattern = re.compile(rb'"image_id"\s*:\s*(-?\d+|"[^"\\]*")')
        with (
            open(self.path, "rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            # A file that has become shorter is noticed when its annotations are parsed.
            found = pattern.finditer(data, span.start, span.end)
            matches = [(hit.start(), bytes(hit.group(1))) for hit in found]
        at = np.fromiter((start for start, _ in matches), np.int64, len(matches))
        owner = np.searchsorted(span.starts, at, side="right") - 1
        # Behind the last sentinel nothing belongs: an id outside of any annotation has owner -1.
        inside = at < np.append(span.ends, 0)[owner]
        places: dict[bytes, list[tuple[int, int]]] = {}
        starts, ends = span.starts.tolist(), span.ends.tolist()
        last = -1
        for number, belongs, (_, key) in zip(owner.tolist(), inside.tolist(), matches, strict=True):
            if belongs and number != last:
                places.setdefault(key, []).append((starts[number], ends[number]))
                last = number
        return places


@dataclass(slots=True)
class Listed:
    """Samples of COCO files, and which image entry of which file each is.

    Attributes
    ----------
    samples : list of Sample
        With the JSON file as target.
    entries : dict
        By sample id the image's entry, with its id and its file name.
    notes : list of str
        What was left out.
    """

    samples: list[Sample] = field(default_factory=list)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def list_samples(root: Path, files: list[AnnotationFile], skip: tuple[str, ...] = ()) -> Listed:
    """Return the samples of COCO files below ``root``.

    An image is looked for in the folder that belongs to its file (``val2017/`` of
    ``instances_val2017.json``), in ``images/`` and then anywhere below the root, by its name; one
    that is not there is left out.

    Parameters
    ----------
    root : Path
        The dataset's root.
    files : list of AnnotationFile
        The first that names an image has it.
    skip : tuple of str
        Folders (relative, with closing slash) that hold no photographs.
    """
    listing = list_files(root)
    index = FileIndex(e for e in listing.entries if not (skip and e[0].startswith(skip)))
    result = Listed(notes=list(listing.notes))
    for file in files:
        stem, target = file.path.stem, str(file.path)
        subset = stem.partition("_")[2] or stem
        split = next((split for word, split in _SPLITS if word in stem.lower()), None)
        names = dict.fromkeys((subset, stem, split or stem, "images", "data"))
        folders = (*(f"{top}{name}/" for name in names for top in ("", "images/")), "")
        missing: list[str] = []
        broken = 0
        for entry in file.images:
            try:
                name = entry["file_name"]
                _ = entry["id"]
                relative = index.find(name, folders)
            except (KeyError, TypeError):
                broken += 1
                continue
            if relative is None:
                missing.append(name)
            elif relative not in result.entries:
                result.entries[relative] = entry
                full = index.paths[relative]
                result.samples.append(Sample.of_files(relative, full, target, split))
        if missing:
            result.notes.append(
                f"{plural(len(missing), 'image')} of {file.path} not found below {root}, "
                f"{missing[0]!r} first."
            )
        if broken:
            result.notes.append(
                f"{plural(broken, 'image entry', 'image entries')} of {file.path} without id and "
                "file name left out."
            )
    extra = [relative for relative in index.paths if relative not in result.entries]
    if extra and result.samples:
        result.notes.append(
            f"{plural(len(extra), 'image')} below {root} not in the annotations and left out, "
            f"{extra[0]} first."
        )
    return result
