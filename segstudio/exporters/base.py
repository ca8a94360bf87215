"""What every exporter provides, and the registry that finds them.

An exporter is one module of `segstudio.exporters.formats`: an `Exporter` with an Options dataclass,
entered with ``@EXPORTERS.register(name)``.  Files are written one by one, each beside its place and
then renamed, so an export that is stopped leaves whole files and can go on (``existing="keep"``).
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from segstudio.core.atomic import write_bytes
from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.registry import Registry
from segstudio.core.types import Image, LabelMap, Sample

__all__ = ["EXPORTERS", "ExportItem", "Exporter", "ImageExporter", "NoOptions", "export_names"]


@dataclass(frozen=True, slots=True, eq=False)
class ExportItem:
    """One sample to export; pixels are read when its turn comes.

    Attributes
    ----------
    sample : Sample
        Whose label map it is.
    read_label_map : callable
        Returns the (H, W) label map: class indices of the export's label space or its ignore
        index.
    read_image : callable
        Returns the sample's (H, W, 3) uint8 RGB image.
    """

    sample: Sample
    read_label_map: Callable[[], LabelMap]
    read_image: Callable[[], Image]


@dataclass(frozen=True)
class NoOptions:
    """The options of an exporter that has none."""


class Exporter(abc.ABC):
    """A form in which label maps leave SegStudio."""

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type] = NoOptions

    @abc.abstractmethod
    def write(
        self,
        items: Sequence[ExportItem],
        destination: Path,
        *,
        label_space: LabelSpace,
        options: Any = None,
        existing: Literal["refuse", "replace", "keep"] = "refuse",
        on_written: Callable[[ExportItem], None] | None = None,
        on_failed: Callable[[ExportItem, SegStudioError], None] | None = None,
    ) -> list[Path]:
        """Write the label maps of ``items`` below ``destination``.

        Parameters
        ----------
        items : sequence of ExportItem
            What to export.
        destination : Path
            A folder; created when missing.
        label_space : LabelSpace
            The space of the label maps.
        options : Options, optional
            A value of the exporter's ``Options``; None takes the defaults.
        existing : {"refuse", "replace", "keep"}
            What happens when a file is already there: nothing at all is written, it is replaced,
            or it stays and its sample is skipped (to go on after an interruption).
        on_written : callable, optional
            Called after each sample, the skipped ones too; raising from it stops the export.
        on_failed : callable, optional
            Called with each sample that could not be exported, and why; the rest goes on.
            Without it the first failure is raised.

        Returns
        -------
        list of Path
            The files of the export, in the order of the items.

        Raises
        ------
        UsageError
            When a file exists and ``existing`` is "refuse", or the label space does not fit.
        WriteError
            When a file cannot be written and there is no ``on_failed``.
        """


class ImageExporter(Exporter):
    """An exporter of one file per sample."""

    ending: ClassVar[str] = ".png"

    @abc.abstractmethod
    def encode(
        self, item: ExportItem, label_map: LabelMap, label_space: LabelSpace, options: Any
    ) -> bytes:
        """Return the content of one sample's file.

        Parameters
        ----------
        item : ExportItem
            The sample.
        label_map : ndarray of shape (H, W)
            Its label map, checked against the label space.
        label_space : LabelSpace
            The space of the label map.
        options : Options
            Never None.
        """

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Raise a UsageError when the label space cannot be expressed; the default accepts all."""

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return further files by name; the default has none."""
        return {}

    def write(
        self,
        items: Sequence[ExportItem],
        destination: Path,
        *,
        label_space: LabelSpace,
        options: Any = None,
        existing: Literal["refuse", "replace", "keep"] = "refuse",
        on_written: Callable[[ExportItem], None] | None = None,
        on_failed: Callable[[ExportItem, SegStudioError], None] | None = None,
    ) -> list[Path]:
        """Write one file per sample; see `Exporter.write`."""
        options = self.Options() if options is None else options
        self.check(label_space, options)
        names = export_names([item.sample for item in items])
        paths = [destination / f"{names[item.sample.sample_id]}{self.ending}" for item in items]
        side_files = {
            destination / name: data for name, data in self.side_files(label_space, options).items()
        }
        if existing == "refuse":
            _refuse_existing([*paths, *side_files], destination)
        for path, data in side_files.items():
            if existing != "keep" or not path.exists():
                write_bytes(path, data)
        written = []
        for item, path in zip(items, paths, strict=True):
            try:
                if existing != "keep" or not path.exists():
                    label_map = item.read_label_map()
                    label_space.check(label_map, f"The label map of {item.sample.sample_id}")
                    # Not flushed file by file: an export can be made again, and a thousand
                    # flushes take longer than the thousand files.
                    data = self.encode(item, label_map, label_space, options)
                    write_bytes(path, data, durable=False)
            except SegStudioError as error:
                if on_failed is None:
                    raise
                on_failed(item, error)
                continue
            written.append(path)
            if on_written is not None:
                on_written(item)
        return written


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


def _refuse_existing(paths: Sequence[Path], destination: Path) -> None:
    if not destination.exists():
        return
    there = [path for path in paths if path.exists()]
    if there:
        raise UsageError(
            f"{there[0]} exists already ({len(there)} of {len(paths)} files do); choose another "
            "folder, or replace or keep the existing files."
        )


EXPORTERS: Registry[type[Exporter]] = Registry("exporter", "segstudio.exporters.formats")
"""Every exporter by name."""
