"""Listing folders: fast, bounded where it must be, and safe against loops of links.

Files are told from folders by what the directory itself says; nothing is opened and, links aside,
nothing is asked of the file system per file.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from pathlib import Path

from segstudio.datasets.images import IMAGE_SUFFIXES

__all__ = ["Listing", "describe_contents", "list_files", "peek", "plural", "suffix_of"]

_SKIPPED_FOLDERS = frozenset({"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN"})
"""What systems leave behind between a user's files."""

_RUN, _JOINED = 8192, 8
"""Entries that are sorted at a time, and how many sorted runs are joined."""

_PROJECT_FILE = "project.sqlite"
"""A folder that holds it is a SegStudio project: its PNGs are results, not samples."""


@dataclass(slots=True)
class Listing:
    """Files below a folder.

    Attributes
    ----------
    entries : list of (str, str)
        POSIX path relative to the folder, and the path as text; sorted by the former.
    notes : list of str
        Sentences about folders and names that had to be left out.
    """

    entries: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[tuple[str, Path]]:
        """The entries with `Path` objects, which cost more to make than all the rest."""
        return [(relative, Path(full)) for relative, full in self.entries]


def suffix_of(name: str) -> str:
    """Return the ending of a file name in lower case with its dot, "" when there is none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def plural(count: int, singular: str, several: str | None = None) -> str:
    """Return "1 image" or "2 images"."""
    return f"{count} {singular if count == 1 else several or singular + 's'}"


def list_files(
    root: Path,
    suffixes: Collection[str] = IMAGE_SUFFIXES,
    *,
    endings: tuple[str, ...] | None = None,
) -> Listing:
    """List the files with one of ``suffixes`` in ``root`` and all folders below.

    Hidden files and folders (``.segstudio`` among them), SegStudio projects and leftovers of
    operating systems are skipped.  Linked folders are followed, each real folder at most once, but
    not to where the folder itself lies.

    Parameters
    ----------
    root : Path
        An existing folder.
    suffixes : collection of str
        Lower-case endings with their dot.
    endings : tuple of str, optional
        What names have to end with, letter by letter, in place of the suffixes.
    """
    found = Listing()
    real_root = os.path.realpath(root)
    pending = deque([(str(root), "", real_root)])
    links: deque[tuple[str, str]] = deque()
    visited = {real_root}
    unreadable_names = folders = 0
    while pending or links:
        if pending:
            folder, prefix, real = pending.popleft()
        else:
            # Links come last: what they lead to has its place where it really is.
            folder, prefix = links.popleft()
            real = os.path.realpath(folder)
            # A link to a folder above would bring in its neighbours, and the folder itself again.
            if real in visited or f"{real_root}{os.sep}".startswith(f"{real}{os.sep}"):
                continue
            visited.add(real)
        try:
            with os.scandir(folder) as entries:
                batch = list(entries)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            found.notes.append(f"The folder {folder} cannot be read: {reason}.")
            continue
        if prefix and any(entry.name == _PROJECT_FILE for entry in batch):
            continue
        here: list[tuple[str, str]] = []
        for entry in batch:
            name = entry.name
            if name.startswith("."):
                continue
            if not name.isascii() and not _is_text(name):
                unreadable_names += 1
                continue
            if entry.is_dir(follow_symlinks=False):
                if name not in _SKIPPED_FOLDERS:
                    below = f"{real}{os.sep}{name}"
                    if below not in visited:
                        visited.add(below)
                        pending.append((entry.path, f"{prefix}{name}/", below))
            elif suffix_of(name) in suffixes if endings is None else name.endswith(endings):
                # Pipes and devices are passed over: reading one might never end.
                if entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _is_file(entry)):
                    here.append((prefix + name, entry.path))
            elif entry.is_symlink() and os.path.isdir(entry.path):
                links.append((entry.path, f"{prefix}{name}/"))
        if here:
            found.entries += _sorted_in_steps(here)
            folders += 1
    if folders > 1:
        # Each folder's entries are in order, so little is left to do.
        found.entries.sort(key=itemgetter(0))
    if unreadable_names:
        found.notes.append(
            f"{plural(unreadable_names, 'name')} in {root} cannot be written as text and "
            f"{'was' if unreadable_names == 1 else 'were'} left out; rename the files."
        )
    return found


def peek(root: Path, limit: int = 400) -> Iterator[tuple[str, bool]]:
    """Yield (relative POSIX path, is a folder) of at most ``limit`` entries, nearest first.

    At most 40 entries of one folder are looked at before its sub-folders are, so that a big
    folder does not hide its neighbours.
    """
    pending = deque([(str(root), "")])
    seen = 0
    while pending and seen < limit:
        folder, prefix = pending.popleft()
        try:
            with os.scandir(folder) as entries:
                for index, entry in enumerate(entries):
                    if seen >= limit or (prefix and index >= 40):
                        break
                    if entry.name.startswith("."):
                        continue
                    seen += 1
                    is_folder = entry.is_dir()
                    yield prefix + entry.name, is_folder
                    if is_folder:
                        pending.append((entry.path, f"{prefix}{entry.name}/"))
        except OSError:
            continue  # what cannot be looked at speaks for no format; opening reports it


def describe_contents(root: Path) -> str:
    """Say what a folder without images holds instead: "12 .json files, 3 .txt files"."""
    endings: Counter[str] = Counter()
    folders = 0
    for path, is_folder in peek(root, 2000):
        if is_folder:
            folders += 1
        else:
            endings[suffix_of(path.rpartition("/")[2])] += 1
    parts = [
        plural(
            count,
            f"{ending} file" if ending else "file without an ending",
            None if ending else "files without an ending",
        )
        for ending, count in endings.most_common(3)
    ]
    if folders and not parts:
        parts = [plural(folders, "empty folder")]
    return ", ".join(parts) if parts else "nothing"


def _sorted_in_steps(entries: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return entries in the order of their first texts, as one sort of all would have it.

    A sort of 100,000 entries holds Python's lock for tens of milliseconds, in which a window cannot
    paint.  Short runs are sorted one by one and joined a few at a time: a sort takes what is in
    order already as it is.
    """
    first = itemgetter(0)
    if len(entries) <= _RUN:
        return sorted(entries, key=first)
    runs = [
        sorted(entries[start : start + _RUN], key=first) for start in range(0, len(entries), _RUN)
    ]
    while len(runs) > 1:
        groups = [runs[start : start + _JOINED] for start in range(0, len(runs), _JOINED)]
        runs = [sorted(chain.from_iterable(group), key=first) for group in groups]
    return runs[0]


def _is_text(name: str) -> bool:
    """Return whether a file name can be written in UTF-8 (undecodable bytes cannot)."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
