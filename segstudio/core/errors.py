"""Everything SegStudio can say went wrong, each as one plain sentence.

An error is raised where it is noticed and shown once: by the command line's ``main`` or by the
window's error hook.  The message says what happened, to which file, and what to do about it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = [
    "CancelledError",
    "CorruptProjectError",
    "LabelValueError",
    "NoDatasetError",
    "NotACheckpointError",
    "PluginError",
    "SegStudioError",
    "SizeMismatchError",
    "TrainingError",
    "UnknownNameError",
    "UnreadableImageError",
    "UsageError",
    "WorkerError",
    "WriteError",
]


class SegStudioError(Exception):
    """Base of every error that a user may see; ``str(error)`` is one plain sentence."""


class UsageError(SegStudioError):
    """Arguments or options that cannot be used together or at all."""


class UnknownNameError(UsageError):
    """A name that no registry, catalogue or project holds."""


class NoDatasetError(SegStudioError):
    """A path that holds no images or is in no layout that can be read."""


class UnreadableImageError(SegStudioError):
    """An image or mask file that cannot be decoded."""


class SizeMismatchError(SegStudioError):
    """Two maps of one sample that differ in height or width."""


class LabelValueError(SegStudioError):
    """A label map that holds a value which its label space does not know."""


class NotACheckpointError(SegStudioError):
    """A file that is no checkpoint, or one that no registered architecture explains."""


class CorruptProjectError(SegStudioError):
    """A project file that cannot be read, or one written by a newer SegStudio."""


class PluginError(SegStudioError):
    """A plugin that failed to load or that breaks a registry's rules."""


class WorkerError(SegStudioError):
    """The process that runs the networks died or could not start."""


class TrainingError(SegStudioError):
    """A training that cannot start or cannot go on."""


class CancelledError(SegStudioError):
    """The user stopped the work; what was finished is kept."""


class WriteError(SegStudioError):
    """A file or folder that cannot be written."""

    @classmethod
    def from_os_error(cls, path: Path | str, error: OSError) -> WriteError:
        """Say in one sentence why ``path`` could not be written.

        Parameters
        ----------
        path : Path or str
            The file or folder that was to be written.
        error : OSError
            What the operating system answered.
        """
        advice = {
            errno.ENOSPC: "the disk is full; free some space and try again",
            errno.EDQUOT: "the disk quota is used up; free some space and try again",
            errno.EROFS: "the file system is read-only; choose another folder",
            errno.EACCES: "permission is denied; choose another folder or change its permissions",
            errno.EPERM: "permission is denied; choose another folder or change its permissions",
            errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
            errno.EEXIST: "a file of that name is in the way of the folder; choose another folder",
            errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
        }
        code = error.errno
        reason = str(error) if code is None else advice.get(code, os.strerror(code).lower())
        return cls(f"Cannot write {path}: {reason}.")
