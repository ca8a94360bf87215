"""What every exporter provides, and the registry that finds them.

An exporter is one module of `segstudio.exporters.formats`: an `Exporter` with an Options dataclass,
entered with ``@EXPORTERS.register(name)``.  Files are written one by one, each beside its place and
then renamed, so an export that is stopped leaves whole files and can go on (``existing="keep"``).

`ImageExporter` is for one file per sample, `FilesExporter` for several and for lists of them;
`segstudio.exporters.documents` has the one for a document about all samples.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from segstudio.core.errors import SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.registry import Registry
from segstudio.core.types import Image, LabelMap, Sample
from segstudio.exporters._names import export_names
from segstudio.exporters._tally import Tally
from segstudio.exporters._writing import (
    check_writable,
    in_order,
    kept_note,
    refuse_existing,
    write_content,
    write_side_files,
)

__all__ = [
    "EXPORTERS",
    "ExportItem",
    "Exporter",
    "FilesExporter",
    "ImageExporter",
    "NoOptions",
    "OutFile",
    "export_names",
]


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
    read_target : callable or None
        Returns the (H, W) ground truth in the export's label space, for what compares the two;
        None when there is none, or when the ground truth is what is exported.
    origin : {"model", "imported", "empty"} or None
        What a corrected label map started from: a model's prediction, ground truth that came
        with the dataset, or nothing; None when this is not known.
    read_origin : callable or None
        Returns the (H, W) label map that the correction started from, in the export's space.
    """

    sample: Sample
    read_label_map: Callable[[], LabelMap]
    read_image: Callable[[], Image]
    read_target: Callable[[], LabelMap] | None = None
    origin: Literal["model", "imported", "empty"] | None = None
    read_origin: Callable[[], LabelMap] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OutFile:
    """A file to be.

    Attributes
    ----------
    place : str
        POSIX path below the destination.
    content : callable
        Takes the checked (H, W) label map and returns the bytes, or the absolute path that a
        symbolic link is to point to.
    """

    place: str
    content: Callable[[LabelMap], bytes | Path]


@dataclass(frozen=True)
class NoOptions:
    """The options of an exporter that has none."""


class Exporter(abc.ABC):
    """A form in which label maps leave SegStudio; one object makes one export at a time.

    Attributes
    ----------
    notes : sequence of str
        After `write`: one plain sentence for each thing that the format could not express.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type] = NoOptions
    notes: Sequence[str] = ()

    def places(
        self, items: Sequence[ExportItem], label_space: LabelSpace, options: Any = None
    ) -> list[str]:
        """Return the files that `write` would write, POSIX below the destination.

        Nothing is read; an exporter that cannot tell returns none, the default.

        Raises
        ------
        UsageError
            When the label space cannot be expressed.
        """
        return []

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return what the format cannot express whatever the pixels; the default is nothing."""
        return []

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


class FilesExporter(Exporter):
    """An exporter of some files per sample, and perhaps lists of the samples."""

    tally: Tally
    """Losses of the export that is being made; `files` and what they call may add."""

    def __init__(self) -> None:
        self.tally = Tally()

    @abc.abstractmethod
    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the files of one sample.

        Parameters
        ----------
        item : ExportItem
            The sample.
        name : str
            Its name by `names`.
        label_space : LabelSpace
            The space of the label maps.
        options : Options
            Never None.
        """

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return the name of each sample by sample id; the default is `export_names`."""
        return export_names(samples)

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Raise a UsageError when the label space cannot be expressed; the default accepts all."""

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return further files by name, written first; the default has none."""
        return {}

    def lists(
        self, written: Sequence[tuple[ExportItem, str]], label_space: LabelSpace, options: Any
    ) -> dict[str, bytes]:
        """Return files about the samples that were written, by name; the default has none."""
        return {}

    def places(
        self, items: Sequence[ExportItem], label_space: LabelSpace, options: Any = None
    ) -> list[str]:
        """Return the samples' files, the side files and the lists; see `Exporter.places`."""
        options = self.Options() if options is None else options
        self.check(label_space, options)
        names = self.names([item.sample for item in items])
        named = [(item, names[item.sample.sample_id]) for item in items]
        ours = [out.place for pair in named for out in self.files(*pair, label_space, options)]
        side_files = self.side_files(label_space, options)
        return [*ours, *side_files, *self.lists(named, label_space, options)]

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
        """Write the files of each sample, then the lists; see `Exporter.write`."""
        options = self.Options() if options is None else options
        self.tally, self.notes = Tally(), ()
        self.check(label_space, options)
        names = self.names([item.sample for item in items])
        named = [(item, names[item.sample.sample_id]) for item in items]
        side_files = self.side_files(label_space, options)
        if existing == "refuse":
            refuse_existing(self.places(items, label_space, options), destination)
        check_writable(destination)
        write_side_files(side_files, destination, existing)

        def prepare(pair: tuple[ExportItem, str]) -> tuple[list[Path], dict[Path, bytes | Path]]:
            files = self.files(*pair, label_space, options)
            return self.contents(files, pair[0], destination, label_space, existing)

        written: list[Path] = []
        done: list[tuple[ExportItem, str]] = []
        for pair, result in in_order(named, prepare):
            try:
                paths, contents = result()
                for path, content in contents.items():
                    write_content(path, content)
            except SegStudioError as error:
                if on_failed is None:
                    raise
                on_failed(pair[0], error)
                continue
            written += paths
            done.append(pair)
            if on_written is not None:
                on_written(pair[0])
        lists = self.lists(done, label_space, options)
        kept = write_side_files(lists, destination, existing)
        losses = [*self.remarks(label_space, options), *self.tally.notes()]
        self.notes = [*(kept_note(path) for path in kept), *losses]
        return written

    def contents(
        self,
        files: Sequence[OutFile],
        item: ExportItem,
        destination: Path,
        label_space: LabelSpace,
        existing: str,
    ) -> tuple[list[Path], dict[Path, bytes | Path]]:
        """Return all paths of a sample, and the contents of those to write; runs in a thread."""
        paths = [destination / out.place for out in files]
        wanted = [
            (path, out.content)
            for path, out in zip(paths, files, strict=True)
            if existing != "keep" or not path.exists()
        ]
        if not wanted:
            return paths, {}
        label_map = read_label_map(item, label_space)
        return paths, {path: content(label_map) for path, content in wanted}


class ImageExporter(FilesExporter):
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

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the one file."""
        return [
            OutFile(f"{name}{self.ending}", lambda m: self.encode(item, m, label_space, options))
        ]


def read_label_map(item: ExportItem, label_space: LabelSpace) -> LabelMap:
    """Return a sample's label map, checked, in the label space's own integer type.

    Raises
    ------
    LabelValueError
        When it holds something else than class indices and the ignore index.
    """
    label_map = item.read_label_map()
    label_space.check(label_map, f"The label map of {item.sample.sample_id}")
    return np.ascontiguousarray(label_map, label_space.dtype)


EXPORTERS: Registry[type[Exporter]] = Registry("exporter", "segstudio.exporters.formats")
"""Every exporter by name."""
