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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segstudio.core.errors import CorruptProjectError, UnknownNameError, WriteError
from segstudio.core.label_space import LabelSpace
from segstudio.core.registry import did_you_mean

__all__ = ["ResultRecord", "RunRecord", "Store"]

_MIGRATIONS = (
    """
    CREATE TABLE runs (
        run TEXT PRIMARY KEY,
        model TEXT NOT NULL,
        identity TEXT NOT NULL,
        label_space TEXT NOT NULL,
        options TEXT NOT NULL,
        created REAL NOT NULL
    ) STRICT;
    CREATE TABLE results (
        run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
        sample_id TEXT NOT NULL,
        error TEXT,
        seconds REAL,
        finished REAL NOT NULL,
        PRIMARY KEY (run, sample_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE counts (
        run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
        sample_id TEXT NOT NULL,
        target TEXT NOT NULL,
        miou REAL,
        counts BLOB NOT NULL,
        PRIMARY KEY (run, sample_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE reviews (
        sample_id TEXT PRIMARY KEY,
        state TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE corrections (
        sample_id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        label_space TEXT NOT NULL,
        source TEXT,
        saved REAL NOT NULL,
        PRIMARY KEY (sample_id, revision)
    ) STRICT, WITHOUT ROWID;
    """,
)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One model over one dataset with one set of options.

    Attributes
    ----------
    run, model : str
        Name of the run; name or path of the model.
    identity : str
        JSON of everything that decides the results; equal identities are the same run.
    label_space : LabelSpace
        What the label maps mean.
    options : dict
        The options, for a person to read.
    created : float
        Seconds since the epoch.
    """

    run: str
    model: str
    identity: str
    label_space: LabelSpace
    options: dict[str, Any]
    created: float


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """What became of one sample in a run; ``error`` is None when its prediction is stored."""

    sample_id: str
    error: str | None
    seconds: float | None


class Store:
    """A project's database.

    One object may be used from several threads; several processes may open the same file.

    Parameters
    ----------
    path : Path
        The file; created when missing.

    Raises
    ------
    CorruptProjectError
        When the file is no database or was written by a newer SegStudio.
    WriteError
        When it cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._guard():
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
        try:
            with self._guard():
                self._connection.execute("PRAGMA journal_mode = WAL")
                # In WAL mode a power cut may lose the last transactions, never corrupt; results
                # are recomputed when their row is missing.
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._migrate()
        except BaseException:
            self._connection.close()
            raise

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
            if "full" in text or "readonly" in text or "unable to open" in text or "I/O" in text:
                raise WriteError(f"Cannot write {self.path}: {text}.") from error
            raise CorruptProjectError(
                f"{self.path} is not a sound project file ({text}); move it away to start afresh."
            ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
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

    def _migrate(self) -> None:
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(_MIGRATIONS):
            raise CorruptProjectError(
                f"{self.path} was written by a newer SegStudio; please update to open it."
            )
        for number in range(version, len(_MIGRATIONS)):
            # executescript would commit by itself, so the transaction is part of the script; a
            # second process that migrated first leaves nothing to do.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                current = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
                if current == number:
                    for statement in _MIGRATIONS[number].split(";"):
                        if statement.strip():
                            self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {number + 1}")
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

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
            connection.execute("DELETE FROM results WHERE run = ?", (run,))
            connection.execute("DELETE FROM counts WHERE run = ?", (run,))

    # -- results ----------------------------------------------------------------------------

    def finish_sample(
        self,
        run: str,
        sample_id: str,
        *,
        seconds: float,
        counts: tuple[str, float | None, bytes] | None = None,
    ) -> None:
        """Enter a finished sample, in one transaction with its counts.

        Parameters
        ----------
        counts : (str, float or None, bytes), optional
            Key of the ground truth counted against, per-image mIoU, serialised counts.
        """
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO results VALUES (?, ?, NULL, ?, ?)",
                (run, sample_id, seconds, time.time()),
            )
            connection.execute(
                "DELETE FROM counts WHERE run = ? AND sample_id = ?", (run, sample_id)
            )
            if counts is not None:
                connection.execute(
                    "INSERT INTO counts VALUES (?, ?, ?, ?, ?)", (run, sample_id, *counts)
                )

    def fail_sample(self, run: str, sample_id: str, error: str) -> None:
        """Enter a sample whose image could not be predicted; it is tried again next time."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO results VALUES (?, ?, ?, NULL, ?)",
                (run, sample_id, error, time.time()),
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
        rows = self._query("SELECT sample_id, error, seconds FROM results WHERE run = ?", (run,))
        return {row[0]: ResultRecord(*row) for row in rows}

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

    # -- reviews and corrections ------------------------------------------------------------

    def set_review(self, sample_id: str, state: str) -> None:
        """Set a sample's review state."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?)", (sample_id, state))

    def reviews(self) -> dict[str, str]:
        """Return review states by sample."""
        return dict(self._query("SELECT sample_id, state FROM reviews"))

    def add_correction(self, sample_id: str, label_space: LabelSpace, source: str | None) -> int:
        """Enter a saved correction and return its revision, from 1."""
        with self._transaction() as connection:
            row = connection.execute(
                "SELECT coalesce(max(revision), 0) + 1 FROM corrections WHERE sample_id = ?",
                (sample_id,),
            ).fetchone()
            connection.execute(
                "INSERT INTO corrections VALUES (?, ?, ?, ?, ?)",
                (sample_id, row[0], json.dumps(label_space.to_json()), source, time.time()),
            )
            return int(row[0])

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

    def corrected_samples(self) -> set[str]:
        """Return the samples that have a saved correction."""
        return {row[0] for row in self._query("SELECT DISTINCT sample_id FROM corrections")}
