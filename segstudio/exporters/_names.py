"""What the files of an export are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from segstudio.core.errors import UsageError
from segstudio.core.types import Sample

__all__ = ["export_names", "flat_names"]


def export_names(samples: Iterable[Sample]) -> dict[str, str]:
    """Return the export name of each sample by sample id: POSIX, without a file ending.

    ``a/b/0001.jpg`` becomes ``a/b/0001``, as users expect beside their images; when two images of
    the export differ in their ending only, both keep it (``a/b/0001.jpg``, ``a/b/0001.png``).

    Raises
    ------
    UsageError
        When a sample id would leave the destination folder.
    """
    ids = [sample.sample_id for sample in samples]
    stems = {}
    for sample_id in ids:
        path = PurePosixPath(sample_id)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise UsageError(f"The sample {sample_id!r} has no place below a folder.")
        stems[sample_id] = str(path.with_suffix(""))
    counts = Counter(stems.values())
    return {
        sample_id: stem if counts[stem] == 1 else sample_id for sample_id, stem in stems.items()
    }


def flat_names(samples: Iterable[Sample]) -> dict[str, str]:
    """Return names without folders, for layouts that put all samples into one.

    ``test/0001.png`` becomes ``0001``; when two samples of the export would meet, in upper or
    lower case, all names keep their folders: ``test_0001``.

    Raises
    ------
    UsageError
        When a sample id would leave the destination folder, or two samples still meet.
    """
    names = export_names(samples)
    short = {key: PurePosixPath(name).name for key, name in names.items()}
    if not _meeting(short):
        return short
    long = {key: name.replace("/", "_") for key, name in names.items()}
    meeting = _meeting(long)
    if meeting:
        raise UsageError(
            f"The samples {' and '.join(meeting[:2])} would be written to one file, as this "
            "format has one folder for all; export them apart."
        )
    return long


def _meeting(names: dict[str, str]) -> list[str]:
    """Return samples that share the first name that is not unique, letter case aside."""
    counts = Counter(name.casefold() for name in names.values())
    if len(counts) == len(names):
        return []
    shared = next(name for name, count in counts.items() if count > 1)
    return [key for key, name in names.items() if name.casefold() == shared]
