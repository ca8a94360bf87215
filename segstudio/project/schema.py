"""The tables of a project, and how older project files become the present ones.

``PRAGMA user_version`` counts the migrations that a file has seen.  An entry of `MIGRATIONS` is
never changed once it was published: what comes later is a new entry.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from segstudio.core.errors import CorruptProjectError

__all__ = ["MIGRATIONS", "TABLES", "migrate"]

MIGRATIONS: tuple[str, ...] = (
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
    # The image file that a prediction was made of; unknown (NULL) for older results.
    """
    ALTER TABLE results ADD COLUMN image_size INTEGER;
    ALTER TABLE results ADD COLUMN image_mtime_ns INTEGER;
    ALTER TABLE results ADD COLUMN image_digest TEXT;
    """,
    # Error analysis: counts and regions of one sample. The blobs are large and come last, so that
    # asking which samples are up to date reads none of them.
    """
    CREATE TABLE errors (
        run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
        sample_id TEXT NOT NULL,
        target TEXT NOT NULL,
        errors BLOB NOT NULL,
        regions BLOB NOT NULL,
        PRIMARY KEY (run, sample_id)
    ) STRICT;
    """,
    # Beside the scores: what a sample holds by category of another label space, what its image
    # looks like, and what a person chose for this project. Again the blobs come last.
    """
    CREATE TABLE ood (
        run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
        sample_id TEXT NOT NULL,
        target TEXT NOT NULL,
        components_target TEXT,
        counts BLOB NOT NULL,
        components BLOB,
        PRIMARY KEY (run, sample_id)
    ) STRICT;
    CREATE TABLE image_facts (
        sample_id TEXT PRIMARY KEY,
        file TEXT NOT NULL,
        pixels INTEGER NOT NULL,
        brightness REAL NOT NULL,
        contrast REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE project_notes (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    # Reviewing: a comment and the time worked, regions left as they are, uncertain regions.
    """
    ALTER TABLE reviews ADD COLUMN comment TEXT NOT NULL DEFAULT '';
    ALTER TABLE reviews ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
    CREATE TABLE accepted (
        run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        sample_id TEXT NOT NULL,
        row INTEGER NOT NULL,
        column INTEGER NOT NULL,
        area INTEGER NOT NULL,
        batch INTEGER NOT NULL,
        PRIMARY KEY (run, kind, sample_id, row, column, area)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE uncertain (
        run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
        sample_id TEXT NOT NULL,
        finished REAL NOT NULL,
        level INTEGER NOT NULL,
        mean_entropy REAL NOT NULL,
        classes BLOB NOT NULL,
        regions BLOB NOT NULL,
        PRIMARY KEY (run, sample_id)
    ) STRICT;
    """,
)

TABLES = (
    "runs",
    "results",
    "counts",
    "errors",
    "ood",
    "accepted",
    "uncertain",
    "reviews",
    "corrections",
    "image_facts",
    "project_notes",
)
"""All tables, those that others refer to first."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an open project file to the present schema.

    Parameters
    ----------
    connection : sqlite3.Connection
        In autocommit mode.
    path : Path
        For messages.

    Raises
    ------
    CorruptProjectError
        When a newer SegStudio wrote the file.
    sqlite3.Error
        When a step fails; the steps before it are kept.
    """
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise CorruptProjectError(
            f"{path} was written by a newer SegStudio; please update to open it."
        )
    for number in range(version, len(MIGRATIONS)):
        # executescript would commit by itself, so the transaction is part of the script; a
        # second process that migrated first leaves nothing to do.
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == number:
                for statement in MIGRATIONS[number].split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
