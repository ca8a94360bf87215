"""Opening a project that cannot be written or is damaged: a copy to read, the file untouched.

What can still be read of the file is copied, row by row, into a private temporary database that
nothing is written to.  Only `repair_store`, which the user asks for, puts such a copy in the
file's place, and it keeps the damaged file beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segstudio.core.atomic import replacing
from segstudio.core.errors import CorruptProjectError, WriteError
from segstudio.project.schema import TABLES, migrate
from segstudio.project.store import Store

__all__ = ["open_store", "repair_store"]

_COMPANIONS = ("-wal", "-shm")


def open_store(path: Path) -> tuple[Store, str | None]:
    """Open a project's store, a damaged or unwritable one as a copy that can be read only.

    Returns
    -------
    store : Store
    note : str or None
        What the user has to know: that it is such a copy, and why.

    Raises
    ------
    CorruptProjectError
        When nothing can be read, or a newer SegStudio wrote it.
    WriteError
        When there is no file and none can be made, or another program keeps it locked.
    """
    try:
        return _writable_store(path), None
    except CorruptProjectError as error:
        if error.__cause__ is None:  # a newer version's
            raise
        copy, rows = _copy(path, error)
        note = (
            f"{path} is damaged ({error.__cause__}); what can be read of it, {rows} entries, is "
            "shown and nothing is written. `segstudio run --repair` goes on with these."
        )
    except WriteError as error:
        if "locked" in str(error) or not path.is_file():
            raise
        copy, _ = _copy(path, error)
        note = f"{path} cannot be written ({error.__cause__}); it is open for reading only."
    return Store(path, copy=copy, refusal=note), note


def repair_store(path: Path) -> Path | None:
    """Put what can be read of a damaged project in its place; the damaged file is renamed.

    Only on the user's word: nothing calls it by itself.

    Returns
    -------
    Path or None
        The damaged file under its new name, ``project.sqlite.damaged``, with a number behind it
        when that is taken; None when the file is sound and was left alone.

    Raises
    ------
    WriteError
        When the folder cannot be written; the file is where it was.
    CorruptProjectError
        When a newer SegStudio wrote it.
    """
    if not path.exists():
        return None
    try:
        Store(path).close()
        return None
    except CorruptProjectError as error:
        if error.__cause__ is None:
            raise
    aside = _free_name(path)
    with contextlib.closing(_private()) as copy, replacing(path) as temporary:
        with _readable(path) as source:
            if source is not None:
                _copy_tables(source, copy)
        with contextlib.closing(sqlite3.connect(temporary)) as target:
            copy.backup(target)
        os.rename(path, aside)
        for suffix in _COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


def _writable_store(path: Path) -> Store:
    store = Store(path)
    try:
        store.check_writable()
    except BaseException:
        store.close()
        raise
    return store


def _free_name(path: Path) -> Path:
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    return aside


def _copy(path: Path, error: Exception) -> tuple[sqlite3.Connection, int]:
    """Return a copy of what can be read and its number of rows; nothing at all is the error."""
    copy = _private()
    with _readable(path) as source:
        rows = None if source is None else _copy_tables(source, copy)
    if rows is None:
        copy.close()
        raise error
    return copy, rows


def _private() -> sqlite3.Connection:
    """Return a database of the present schema that SQLite removes when it is closed."""
    copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    migrate(copy, Path("a copy"))
    return copy


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Yield the database, opened so that neither it nor what lies beside it changes.

    What was written last may be in the log beside the file, which SQLite reads only where it may
    write; then both are copied.
    """
    with contextlib.ExitStack() as stack:
        log = Path(f"{path}-wal")
        place = path
        try:
            if log.exists() and log.stat().st_size:
                place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / path.name
                shutil.copyfile(path, place)
                shutil.copyfile(log, f"{place}-wal")
            uri = place.resolve().as_uri() + ("?immutable=1" if place == path else "")
            source = sqlite3.connect(uri, uri=True)
            stack.callback(source.close)
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except (sqlite3.Error, OSError):
            yield None
        else:
            yield source


def _copy_tables(source: sqlite3.Connection, copy: sqlite3.Connection) -> int | None:
    """Copy the rows that can be read; return how many, None when no table can be looked at."""
    total: int | None = None
    copy.execute("PRAGMA foreign_keys = OFF")
    copy.execute("BEGIN")
    for table in TABLES:
        wanted = [entry[1] for entry in copy.execute(f"PRAGMA table_info({table})")]
        keys = [entry[1] for entry in copy.execute(f"PRAGMA table_info({table})") if entry[5]]
        try:
            present = {entry[1] for entry in source.execute(f"PRAGMA table_info({table})")}
        except sqlite3.Error:
            continue
        columns = ", ".join(name for name in wanted if name in present)
        if not present:
            continue
        marks = ", ".join("?" for name in wanted if name in present)
        total = total or 0
        # Damage in the middle leaves a part before it and a part behind it.
        for direction in ("ASC", "DESC"):
            order = ", ".join(f"{key} {direction}" for key in keys)
            query = f"SELECT {columns} FROM {table} ORDER BY {order}"
            for row in _rows(source, query):
                with contextlib.suppress(sqlite3.Error):  # a row that breaks the table's own rules
                    statement = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"
                    total += copy.execute(statement, row).rowcount
    for table in ("results", "counts", "errors", "ood", "accepted", "uncertain"):
        copy.execute(f"DELETE FROM {table} WHERE run NOT IN (SELECT run FROM runs)")
    copy.execute("COMMIT")
    return total


def _rows(source: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows up to the first that cannot be read."""
    with contextlib.suppress(sqlite3.Error):
        yield from source.execute(query)
