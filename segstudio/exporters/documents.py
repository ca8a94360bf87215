"""Exports that end in a document about all samples, such as COCO's JSON.

What is found out about a sample goes at once into a spool, one line each; when all samples are
done the documents are written from it, line by line.  So memory does not grow with the number of
samples, and an export that was stopped goes on with ``existing="keep"``.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

from segstudio.core.atomic import replacing
from segstudio.core.errors import SegStudioError, UsageError, WriteError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap
from segstudio.exporters._tally import Tally
from segstudio.exporters._writing import (
    check_writable,
    in_order,
    kept_note,
    refuse_existing,
    write_content,
    write_side_files,
)
from segstudio.exporters.base import ExportItem, FilesExporter, OutFile, read_label_map

__all__ = ["DocumentExporter", "Records", "text_document"]


class Records:
    """The records of an export's samples, read from the spool each time they are gone through.

    Attributes
    ----------
    samples : list of Sample
        All samples of the export, also those without a record.
    """

    def __init__(self, spool: _Spool, named: Sequence[tuple[ExportItem, str]]) -> None:
        self._spool = spool
        self._named = {item.sample.sample_id: (item, name) for item, name in named}
        self.samples = [item.sample for item, _ in named]

    def __iter__(self) -> Iterator[tuple[ExportItem, str, Any]]:
        """Yield (item, name, record) of each sample that was exported."""
        for sample_id, record in self._spool.read():
            if sample_id in self._named:
                yield *self._named[sample_id], record


class DocumentExporter(FilesExporter):
    """An exporter of documents about all samples, and perhaps of files per sample."""

    @abc.abstractmethod
    def record(
        self,
        item: ExportItem,
        name: str,
        label_map: LabelMap,
        label_space: LabelSpace,
        options: Any,
    ) -> Any:
        """Return what the documents need to know of a sample, ready for JSON; runs in a thread."""

    @abc.abstractmethod
    def documents(
        self, label_space: LabelSpace, options: Any
    ) -> Mapping[str, Callable[[Records, BinaryIO], None]]:
        """Return the documents: name below the destination, and what writes it."""

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the files of one sample; the default has none."""
        return []

    def places(
        self, items: Sequence[ExportItem], label_space: LabelSpace, options: Any = None
    ) -> list[str]:
        """Return the documents, then all other files; see `Exporter.places`."""
        options = self.Options() if options is None else options
        others = super().places(items, label_space, options)
        return [*self.documents(label_space, options), *others]

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
        """Write the samples' files, then the documents; see `Exporter.write`.

        The documents come first in what is returned.
        """
        options = self.Options() if options is None else options
        self.tally, self.notes = Tally(), ()
        self.check(label_space, options)
        names = self.names([item.sample for item in items])
        named = [(item, names[item.sample.sample_id]) for item in items]
        documents = self.documents(label_space, options)
        paths = [destination / name for name in documents]
        side_files = self.side_files(label_space, options)
        spool = _Spool(destination, self.name, label_space, options)
        if existing == "refuse":
            spool.refuse()
            refuse_existing(self.places(items, label_space, options), destination)
        check_writable(destination)
        missing = [path for path in paths if existing != "keep" or not path.exists()]
        write_side_files(side_files, destination, existing)
        done = spool.start(resume=existing == "keep") if missing else set()

        def prepare(pair: tuple[ExportItem, str]) -> tuple[list[Path], dict[Path, Any], Any]:
            return self._prepare(pair, destination, label_space, options, existing, missing, done)

        written = list(paths)
        try:
            for pair, result in in_order(named, prepare):
                item = pair[0]
                try:
                    places_of, contents, record = result()
                    for path, content in contents.items():
                        write_content(path, content)
                    if record is not None:
                        spool.append(item.sample.sample_id, record)
                except SegStudioError as error:
                    if on_failed is None:
                        raise
                    on_failed(item, error)
                    continue
                written += places_of
                if on_written is not None:
                    on_written(item)
        finally:
            spool.close()
        for name, write_document in documents.items():
            if destination / name in missing:
                with replacing(destination / name) as temporary, temporary.open("wb") as stream:
                    write_document(Records(spool, named), stream)
        spool.remove()
        losses = [*self.remarks(label_space, options), *self.tally.notes()]
        self.notes = losses if missing else [kept_note(path) for path in paths]
        return written

    def _prepare(
        self,
        pair: tuple[ExportItem, str],
        destination: Path,
        label_space: LabelSpace,
        options: Any,
        existing: str,
        missing: Sequence[Path],
        done: set[str],
    ) -> tuple[list[Path], dict[Path, Any], Any]:
        """Return a sample's paths, the contents to write, and its record; runs in a thread."""
        item, name = pair
        files = self.files(item, name, label_space, options)
        if not missing:
            return *self.contents(files, item, destination, label_space, existing), None
        places = [destination / out.place for out in files]
        if item.sample.sample_id in done:
            return places, {}, None
        label_map = read_label_map(item, label_space)
        contents = {path: out.content(label_map) for path, out in zip(places, files, strict=True)}
        if existing == "keep":
            contents = {path: data for path, data in contents.items() if not _is_there(path, data)}
        return places, contents, self.record(item, name, label_map, label_space, options)


def _is_there(path: Path, content: bytes | Path) -> bool:
    """Return whether a kept file is what the document is going to speak of.

    Raises
    ------
    UsageError
        When it is another one.
    """
    if not os.path.lexists(path):
        return False
    with contextlib.suppress(OSError):
        if isinstance(content, Path) or path.read_bytes() == content:
            return True
    raise UsageError(
        f"{path} exists already and is not what this export would write; replace the existing "
        "files or choose another folder."
    )


class _Spool:
    """The records of the samples that are done, a line of JSON each, below a line on the export."""

    def __init__(
        self, destination: Path, exporter: str, label_space: LabelSpace, options: Any
    ) -> None:
        self._path = destination / f".{exporter}.unfinished"
        choices = dataclasses.asdict(options)
        self._header = json.dumps([exporter, label_space.fingerprint, choices]) + "\n"
        self._stream: BinaryIO | None = None

    def refuse(self) -> None:
        """Raise when an unfinished export is there."""
        if self._path.exists():
            raise UsageError(
                f"{self._path.parent} exists already and holds an unfinished export; keep the "
                "existing files to go on with it, or replace them."
            )

    def start(self, *, resume: bool) -> set[str]:
        """Open the spool for appending and return the samples that it holds."""
        try:
            done = self._resume() if resume and self._path.exists() else None
            if done is None:
                self._path.write_bytes(self._header.encode())
            self._stream = self._path.open("ab")
        except OSError as error:
            raise WriteError.from_os_error(self._path, error) from error
        return done or set()

    def _resume(self) -> set[str] | None:
        """Return the samples of an earlier spool, None when it is of another export or damaged.

        A last line that was not finished is cut off.
        """
        with self._path.open("r+b") as stream:
            if stream.readline() != self._header.encode():
                return None
            done: set[str] = set()
            whole = stream.tell()
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                try:
                    sample_id, _ = json.loads(line)
                except (ValueError, TypeError):
                    return None
                done.add(str(sample_id))
                whole += len(line)
            stream.truncate(whole)
        return done

    def append(self, sample_id: str, record: Any) -> None:
        """Add a sample's record; it outlives a crash of the program."""
        assert self._stream is not None
        line = json.dumps([sample_id, record], separators=(",", ":")) + "\n"
        try:
            self._stream.write(line.encode())
            self._stream.flush()
        except OSError as error:
            raise WriteError.from_os_error(self._path, error) from error

    def read(self) -> Iterator[tuple[str, Any]]:
        """Yield (sample id, record) in the order they were appended."""
        with self._path.open("rb") as stream:
            stream.readline()
            for line in stream:
                sample_id, record = json.loads(line)
                yield sample_id, record

    def close(self) -> None:
        """Close the file; one without any record is removed again."""
        if self._stream is not None:
            is_empty = self._stream.tell() == len(self._header.encode())
            self._stream.close()
            self._stream = None
            if is_empty and sys.exc_info()[0] is not None:
                self.remove()

    def remove(self) -> None:
        """Delete the spool when the documents are written."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def text_document(
    pieces: Callable[[Records], Iterator[str]],
) -> Callable[[Records, BinaryIO], None]:
    """Return what writes a document that is made of pieces of text."""

    def write(records: Records, stream: BinaryIO) -> None:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        for piece in pieces(records):
            text.write(piece)
        text.flush()
        text.detach()

    return write
