"""Where a fine-tuning keeps its state until it is over, so that it can be gone on with."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segstudio.core.atomic import make_folder, write_text
from segstudio.core.errors import UsageError, WriteError

__all__ = ["working_folder"]

_IDENTITY_NAME = "fine-tuning.json"


@contextlib.contextmanager
def working_folder(output: Path, identity: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folder ``OUTPUT.fine-tuning``; it goes when the work in it came to its end.

    Parameters
    ----------
    output : Path
        The checkpoint to be.
    identity : mapping
        What the work is made of, ready for JSON: a folder of something else is emptied first.

    Raises
    ------
    UsageError
        When another process works in it, or it was not made here.
    WriteError
        When it cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = output.with_name(f"{output.name}.fine-tuning")
    named = folder / _IDENTITY_NAME
    if folder.exists() and not (folder.is_dir() and (named.exists() or not any(folder.iterdir()))):
        raise UsageError(f"{folder} is in the way; move it, or name another file.")
    make_folder(output.parent)
    lock = FileLock(output.with_name(f".{output.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UsageError(
            f"Another fine-tuning that will write {output} is running; wait for it, or name "
            "another file."
        ) from error
    except OSError as error:
        raise WriteError.from_os_error(output, error) from error
    except NotImplementedError:
        pass  # a file system without locks: nobody can be asked to wait
    try:
        text = json.dumps(identity, sort_keys=True)
        if not named.exists() or named.read_text(encoding="utf-8") != text:
            shutil.rmtree(folder, ignore_errors=True)
            write_text(named, text)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
