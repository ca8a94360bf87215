"""A correction's file: replaced as a whole, with the revision before it and what others wrote.

A mask is an ordinary PNG that other programs may open and write.  What was there before a save is
never simply gone: the last revision of one's own goes to ``backups``, what somebody else has
written meanwhile goes to ``conflicts``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from segstudio.core.atomic import TEMPORARY_SUFFIX, make_folder, replacing
from segstudio.core.errors import UnreadableImageError, WriteError
from segstudio.project.signature import FileSignature, look_again, sign_file

__all__ = ["MaskFile"]


class MaskFile:
    """The file of one sample's correction, as it was when it was read or written last.

    Not for several threads at once.

    Parameters
    ----------
    path : Path
        The PNG.
    backup : Path
        Where the revision before goes.
    conflict : Path
        Where the first file goes that somebody else has written; further ones get a number.
    """

    def __init__(self, path: Path, *, backup: Path, conflict: Path) -> None:
        self.path = path
        self.backup = backup
        self._conflict = conflict
        self._signature: FileSignature | None = None
        self.look()

    def look(self) -> None:
        """Take the file as it is now for the known one; call it before the file is decoded."""
        with contextlib.suppress(UnreadableImageError):  # decoding it says why
            self._signature = None
            self._signature = sign_file(self.path)

    def replace(
        self, data: bytes, *, keep_backup: bool, before_it_counts: Callable[[], None]
    ) -> Path | None:
        """Write new content over the file.

        Parameters
        ----------
        data : bytes
            The PNG.
        keep_backup : bool
            Whether what was there becomes the backup; without it the backup stays an older one.
        before_it_counts : callable
            Called when the new bytes are on the disk, just before they take the file's place.
            What it raises leaves the old file.

        Returns
        -------
        Path or None
            Where a file of somebody else was kept, None when there was none.

        Raises
        ------
        WriteError
            When it cannot be written; the old file is untouched.
        """
        with replacing(self.path) as temporary:
            temporary.write_bytes(data)
            kept = self._keep_foreign()
            if keep_backup and kept is None and self.path.exists():
                _copy(self.path, self.backup)
            before_it_counts()
        state = self.path.stat()
        digest = hashlib.sha256(data).hexdigest()
        self._signature = FileSignature(len(data), state.st_mtime_ns, digest)
        return kept

    def _keep_foreign(self) -> Path | None:
        """Keep a file that is not the one known; return where."""
        if not self.path.exists():
            return None
        if self._signature is not None:
            changed, _ = look_again(self.path, self._signature, 0.0)
            if not changed:
                return None
        place, number = self._conflict, 1
        while place.exists():
            number += 1
            place = self._conflict.with_name(f"{self._conflict.stem}-{number}.png")
        _copy(self.path, place)
        return place


def _copy(source: Path, place: Path) -> None:
    """Give a file a second name, or a copy where the file system knows only one name."""
    make_folder(place.parent)
    temporary = place.with_name(f".{place.name[:100]}{TEMPORARY_SUFFIX}")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
        os.replace(temporary, place)
    except OSError as error:
        raise WriteError.from_os_error(place, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
