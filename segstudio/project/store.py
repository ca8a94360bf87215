"""The project's SQLite store: runs, results, counts, review states, corrections.

The file is ordinary SQLite in WAL mode, readable with any tool.  Its ``user_version`` is the
schema's version; an older one is migrated on opening, a newer one is refused.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

from segstudio.core.errors import CorruptProjectError, UnknownNameError, WriteError
from segstudio.core.label_space import LabelSpace
from segstudio.core.registry import did_you_mean
from segstudio.project.records import ErrorRecord, ResultRecord, RunRecord
from segstudio.project.reviews import ReviewTables
from segstudio.project.schema import migrate
from segstudio.project.side_tables import SideTables
from segstudio.project.signature import FileSignature

__all__ = ["ErrorRecord", "ResultRecord", "RunRecord", "Store"]

_BUSY_SECONDS = 30.0
_CHECKED_BYTES = 1 << 25
"""Larger files are not checked as a whole on opening; damage shows when it is met."""


class Store(SideTables, ReviewTables):
    """A project's database.

    One object may be used from several threads; several processes may open the same file.

    Parameters
    ----------
    path : Path
        The file; created when missing.
    copy : sqlite3.Connection, optional
        What to read from in its place, see `segstudio.project.opening.open_store`.
    refusal : str
        With a copy: the sentence that answers every attempt to write.

    Raises
    ------
    CorruptProjectError
        When the file is no database, is damaged or was written by a newer SegStudio.
    WriteError
        When it cannot be created.
    """

    def __init__(
        self, path: Path, *, copy: sqlite3.Connection | None = None, refusal: str = ""
    ) -> None:
        self.path = path
        self.read_only = copy is not None
        self._refusal = refusal
        self._lock = threading.RLock()
        if copy is not None:
            self._connection = copy
            return
        with self._guard():
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._guard():
                self._connection.execute("PRAGMA journal_mode = WAL")
                # In WAL mode a power cut may lose the last transactions, never corrupt; results
                # are recomputed when their row is missing.
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._check()
                migrate(self._connection, path)
        except BaseException:
            self._connection.close()
            raise

    def _check(self) -> None:
        """Refuse a damaged file before anything is written into it."""
        if self.path.stat().st_size > _CHECKED_BYTES:
            return
        (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise sqlite3.DatabaseError(" ".join(str(answer).split()))

    def check_writable(self) -> None:
        """Raise the WriteError that the next writing would."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM reviews WHERE sample_id IS NULL")  # there is none

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            if "locked" in text:
                raise WriteError(
                    f"Cannot write {self.path}: another program keeps it locked; try again."
                ) from error
            if any(word in text for word in ("full", "readonly", "unable to open", "I/O")):
                full = "free some space and try again"
                advice = full if "full" in text else "choose another folder for the project"
                raise WriteError(f"Cannot write {self.path}: {text}; {advice}.") from error
            raise CorruptProjectError(
                f"{self.path} is not a sound project file ({text}); repair it with `segstudio run "
                "--repair`, or move it away to start afresh."
            ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self.read_only:
            raise WriteError(self._refusal)
        with self._lock, self._guard():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _query(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._guard():
            return self._connection.execute(statement, parameters).fetchall()

    # -- runs -------------------------------------------------------------------------------

    def begin_run(
        self, name: str, model: str, identity: str, label_space: LabelSpace, options: dict[str, Any]
    ) -> str:
        """Return the run with this identity, entering a new one when there is none.

        A new run is called ``name``, or ``name-2``, ``name-3`` ... when that is taken.
        """
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT run FROM runs WHERE identity = ?", (identity,)
            ).fetchone()
            if row is not None:
                return str(row[0])
            taken = {entry[0] for entry in connection.execute("SELECT run FROM runs")}
            run, number = name, 1
            while run in taken:
                number += 1
                run = f"{name}-{number}"
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)",
                (
                    run,
                    model,
                    identity,
                    json.dumps(label_space.to_json()),
                    json.dumps(options),
                    time.time(),
                ),
            )
            return run

    def runs(self) -> list[RunRecord]:
        """Return all runs, oldest first."""
        rows = self._query(
            "SELECT run, model, identity, label_space, options, created FROM runs ORDER BY created"
        )
        return [
            RunRecord(
                run,
                model,
                identity,
                LabelSpace.from_json(json.loads(space), f"The label space of run {run}"),
                json.loads(options),
                created,
            )
            for run, model, identity, space, options, created in rows
        ]

    def run(self, name: str) -> RunRecord:
        """Return one run.

        Raises
        ------
        UnknownNameError
            When there is none of that name.
        """
        records = {record.run: record for record in self.runs()}
        if name not in records:
            raise UnknownNameError(
                f"{self.path} has no run {name!r}: {did_you_mean(name, list(records))}"
            )
        return records[name]

    def forget_results(self, run: str) -> None:
        """Forget what a run has finished, so that it starts again."""
        with self._transaction() as connection:
            for table in ("results", "counts", "errors", "ood"):
                connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))

    # -- results ----------------------------------------------------------------------------

    def finish_sample(
        self,
        run: str,
        sample_id: str,
        *,
        seconds: float,
        counts: tuple[str, float | None, bytes] | None = None,
        signature: FileSignature | None = None,
    ) -> None:
        """Enter a finished sample, in one transaction with its counts.

        Parameters
        ----------
        counts : (str, float or None, bytes), optional
            Key of the ground truth counted against, per-image mIoU, serialised counts.
        signature : FileSignature, optional
            The image file that was predicted.
        """
        with self._transaction() as connection:
            self._enter(connection, run, sample_id, None, seconds, signature)
            for table in ("counts", "errors", "ood"):
                connection.execute(
                    f"DELETE FROM {table} WHERE run = ? AND sample_id = ?", (run, sample_id)
                )
            if counts is not None:
                connection.execute(
                    "INSERT INTO counts VALUES (?, ?, ?, ?, ?)", (run, sample_id, *counts)
                )

    def fail_sample(self, run: str, sample_id: str, error: str) -> None:
        """Enter a sample whose image could not be predicted; it is tried again next time."""
        with self._transaction() as connection:
            self._enter(connection, run, sample_id, error, None, None)

    @staticmethod
    def _enter(
        connection: sqlite3.Connection,
        run: str,
        sample_id: str,
        error: str | None,
        seconds: float | None,
        signature: FileSignature | None,
    ) -> None:
        file = (None,) * 3 if signature is None else astuple(signature)
        connection.execute(
            "INSERT OR REPLACE INTO results (run, sample_id, error, seconds, finished, "
            "image_size, image_mtime_ns, image_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (run, sample_id, error, seconds, time.time(), *file),
        )

    def sign_samples(self, run: str, signatures: Iterable[tuple[str, FileSignature]]) -> None:
        """Enter new signatures of finished samples, (sample_id, signature)."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE results SET image_size = ?, image_mtime_ns = ?, image_digest = ? "
                "WHERE run = ? AND sample_id = ?",
                ((*astuple(entry), run, sample_id) for sample_id, entry in signatures),
            )

    def save_counts(
        self, run: str, entries: Iterable[tuple[str, str, float | None, bytes]]
    ) -> None:
        """Replace the counts of samples: (sample_id, key of the target, mIoU, bytes)."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?, ?)",
                ((run, *entry) for entry in entries),
            )

    def results(self, run: str) -> dict[str, ResultRecord]:
        """Return what became of each sample of a run."""
        rows = self._query(
            "SELECT sample_id, error, seconds, finished, image_size, image_mtime_ns, "
            "image_digest FROM results WHERE run = ?",
            (run,),
        )
        records = {}
        for sample_id, error, seconds, finished, *file in rows:
            signature = None if file[0] is None else FileSignature(*file)
            records[sample_id] = ResultRecord(sample_id, error, seconds, signature, finished)
        return records

    def finished_count(self, run: str) -> int:
        """Return the number of samples whose prediction is stored."""
        query = "SELECT count(*) FROM results WHERE run = ? AND error IS NULL"
        return int(self._query(query, (run,))[0][0])

    def counts(self, run: str) -> dict[str, tuple[str, bytes]]:
        """Return (key of the target, serialised counts) by sample."""
        rows = self._query("SELECT sample_id, target, counts FROM counts WHERE run = ?", (run,))
        return {sample_id: (target, data) for sample_id, target, data in rows}

    def sample_counts(self, run: str, sample_id: str) -> bytes | None:
        """Return the serialised counts of one sample, None when it was not scored."""
        rows = self._query(
            "SELECT counts FROM counts WHERE run = ? AND sample_id = ?", (run, sample_id)
        )
        return rows[0][0] if rows else None

    def mious(self, run: str) -> dict[str, float | None]:
        """Return the per-image mIoU by sample, None where no class has a union."""
        rows = self._query("SELECT sample_id, miou FROM counts WHERE run = ?", (run,))
        return dict(rows)

    # -- error analysis ---------------------------------------------------------------------

    def save_errors(self, run: str, record: ErrorRecord) -> bool:
        """Replace the error analysis of a sample; False when its prediction was redone meanwhile.

        Then nothing is entered: what was analysed is no longer there.
        """
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT OR REPLACE INTO errors (run, sample_id, target, errors, regions) "
                "SELECT run, sample_id, ?, ?, ? FROM results "
                "WHERE run = ? AND sample_id = ? AND error IS NULL AND finished = ?",
                (
                    record.target,
                    record.errors,
                    record.regions,
                    run,
                    record.sample_id,
                    record.finished,
                ),
            )
            return cursor.rowcount > 0

    def error_keys(self, run: str) -> dict[str, str]:
        """Return the key of the ground truth by analysed sample."""
        return dict(self._query("SELECT sample_id, target FROM errors WHERE run = ?", (run,)))

    def errors(self, run: str, sample_ids: Iterable[str]) -> dict[str, tuple[bytes, bytes]]:
        """Return (error counts, error regions) of those of the samples that were analysed."""
        query = "SELECT errors, regions FROM errors WHERE run = ? AND sample_id = ?"
        found = ((key, self._query(query, (run, key))) for key in sample_ids)
        return {key: rows[0] for key, rows in found if rows}

    # -- corrections ------------------------------------------------------------------------

    def add_correction(
        self, sample_id: str, label_space: LabelSpace, source: str | None, *, renew: bool = False
    ) -> int:
        """Enter a saved correction and return its revision, from 1.

        With ``renew`` the last revision is entered again instead of a new one.
        """
        with self._transaction() as connection:
            (last,) = connection.execute(
                "SELECT coalesce(max(revision), 0) FROM corrections WHERE sample_id = ?",
                (sample_id,),
            ).fetchone()
            revision = int(last) if renew and last else int(last) + 1
            connection.execute(
                "INSERT OR REPLACE INTO corrections VALUES (?, ?, ?, ?, ?)",
                (sample_id, revision, json.dumps(label_space.to_json()), source, time.time()),
            )
            return revision

    def correction_label_space(self, sample_id: str) -> LabelSpace | None:
        """Return the label space of a sample's saved correction, None when there is none."""
        rows = self._query(
            "SELECT label_space FROM corrections WHERE sample_id = ? "
            "ORDER BY revision DESC LIMIT 1",
            (sample_id,),
        )
        if not rows:
            return None
        return LabelSpace.from_json(json.loads(rows[0][0]), f"The correction of {sample_id}")

    def correction_origins(self) -> dict[str, str | None]:
        """Return by corrected sample the source that its first revision started from."""
        rows = self._query(
            "SELECT sample_id, source FROM corrections GROUP BY sample_id "
            "HAVING revision = min(revision)"
        )
        return dict(rows)

    def corrected_samples(self) -> set[str]:
        """Return the samples that have a saved correction."""
        return {row[0] for row in self._query("SELECT DISTINCT sample_id FROM corrections")}
