"""One process at a time works on a run or a correction; a second one is told who does."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from segstudio.core.atomic import make_folder, write_text
from segstudio.core.errors import WriteError

__all__ = ["CorrectionLock", "hold_run"]


@contextlib.contextmanager
def hold_run(folder: Path, run: str) -> Iterator[None]:
    """Keep other processes from working on a run.

    The lock is the operating system's: it goes with the process, however that ends.  Beside it
    lies a note that says who holds it.

    Parameters
    ----------
    folder : Path
        Where the locks are; see `segstudio.project.layout.ProjectLayout.locks`.
    run : str
        Name of the run.

    Raises
    ------
    WriteError
        When another process works on it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    make_folder(folder)
    note = folder / f"{run}.json"
    lock = FileLock(folder / f"{run}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise WriteError(
            f"The run {run} is being worked on by {_holder(note)}; wait until that is done or "
            "stop it, then run again to go on."
        ) from error
    except OSError as error:
        raise WriteError.from_os_error(folder / f"{run}.lock", error) from error
    except NotImplementedError as error:
        raise WriteError(
            f"Cannot write {folder}: its file system knows no locks; choose another folder for "
            "the project."
        ) from error
    try:
        about = {"pid": os.getpid(), "host": platform.node(), "since": time.time()}
        write_text(note, json.dumps(about), durable=False)
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


class CorrectionLock:
    """Keeps a second window from correcting the same sample: two would overwrite one journal.

    Parameters
    ----------
    path : Path
        The lock; see `segstudio.project.layout.ProjectLayout.correction_lock`.  It goes with the
        process, however that ends; the empty file stays.
    sample_id : str
        For the sentence.

    Raises
    ------
    WriteError
        When another window has it open, or the lock cannot be written.
    """

    def __init__(self, path: Path, sample_id: str) -> None:
        from filelock import FileLock, Timeout

        make_folder(path.parent)
        # Taken and let go in different threads.
        self._lock = FileLock(path, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise WriteError(
                f"{sample_id} is being corrected in another window of SegStudio; save and close "
                "it there, then open it again here."
            ) from error
        except OSError as error:
            raise WriteError.from_os_error(path, error) from error
        except NotImplementedError:
            pass  # a file system without locks: as before there were any

    def release(self) -> None:
        """Let others correct the sample."""
        self._lock.release()


def _holder(note: Path) -> str:
    """Say who holds a lock, as far as the note beside it tells."""
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(about["since"])))
        here = about["host"] == platform.node()
        place = "" if here else f" on {about['host']}"
        return f"process {int(about['pid'])}{place} since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # it has just begun, or just ended
