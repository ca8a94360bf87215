"""Where the files of a project are.

The default place is ``DATASET/.segstudio``; a dataset that cannot be written falls back to a
folder of the user's, one per dataset.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from segstudio.core.atomic import make_folder

__all__ = ["LAYERS", "MORE_LAYERS", "PROJECT_FOLDER", "ProjectLayout", "choose_project_folder"]

PROJECT_FOLDER = ".segstudio"

LAYERS = ("labels", "entropy", "confidence", "runner_up")
"""What a run keeps of each sample, one PNG each."""
MORE_LAYERS = ("mutual_information", "variation_ratio")
"""What only runs of ensembles keep besides: how far the members disagree."""


@dataclass(frozen=True, slots=True)
class ProjectLayout:
    """Paths below a project's folder.

    Attributes
    ----------
    root : Path
        The project's folder.
    """

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite store."""
        return self.root / "project.sqlite"

    def run_folder(self, run: str) -> Path:
        """Folder of a run's results."""
        return self.root / "runs" / run

    def layer(self, run: str, layer: str, sample_id: str) -> Path:
        """PNG of one layer ("labels", "entropy", "confidence", "runner_up") of a sample."""
        return self.run_folder(run) / layer / f"{sample_id}.png"

    @property
    def locks(self) -> Path:
        """Folder of the locks of runs that are being worked on."""
        return self.root / "locks"

    def correction(self, sample_id: str) -> Path:
        """PNG of a sample's corrected label map."""
        return self.root / "corrections" / f"{sample_id}.png"

    def correction_backup(self, sample_id: str) -> Path:
        """PNG of the revision of a correction before the one that was worked on last."""
        return self.root / "backups" / f"{sample_id}.png"

    def correction_conflict(self, sample_id: str) -> Path:
        """PNG that another program had written where a correction was saved."""
        return self.root / "conflicts" / f"{sample_id}.png"

    def correction_lock(self, sample_id: str) -> Path:
        """Lock of the window that corrects a sample."""
        return self.locks / "corrections" / f"{sample_id}.lock"

    def journal(self, sample_id: str) -> Path:
        """Journal of the strokes of a sample that are not saved yet."""
        return self.root / "journal" / f"{sample_id}.journal"

    def journals(self) -> list[Path]:
        """Return the journals there are."""
        folder = self.root / "journal"
        return sorted(folder.rglob("*.journal")) if folder.is_dir() else []

    def journal_sample_id(self, journal: Path) -> str:
        """Return the sample that a path of `journals` belongs to."""
        return journal.relative_to(self.root / "journal").as_posix().removesuffix(".journal")


def choose_project_folder(
    dataset_root: Path, project: Path | None = None
) -> tuple[Path, str | None]:
    """Return where a dataset's project lives, and a sentence when that is not the usual place.

    Parameters
    ----------
    dataset_root : Path
        The dataset's folder.
    project : Path, optional
        The folder that the user asked for.

    Raises
    ------
    WriteError
        When the folder asked for, or the fallback, cannot be created.
    """
    if project is not None:
        return make_folder(project), None
    usual = dataset_root / PROJECT_FOLDER
    if _is_writable(usual if usual.is_dir() else dataset_root):
        return make_folder(usual), None
    import platformdirs

    resolved = dataset_root.resolve()
    digest = hashlib.sha256(str(resolved).encode()).hexdigest()[:12]
    name = f"{resolved.name or 'root'}-{digest}"
    folder = Path(platformdirs.user_data_dir("segstudio", appauthor=False)) / "projects" / name
    note = f"{dataset_root} cannot be written, so the project is kept in {folder}."
    return make_folder(folder), note


def _is_writable(folder: Path) -> bool:
    """Return whether a folder may be written, by its own word as well as by the system's.

    An administrator's process may write everywhere; a folder that nobody has the permission to
    write is meant to stay as it is all the same.
    """
    try:
        marked = folder.stat().st_mode & 0o222
    except OSError:
        return False
    return bool(marked) and os.access(folder, os.W_OK | os.X_OK)
