"""The models that a user has to do with: embedded, published, and files of their own.

What is known of a user's files is kept in the settings, so that a later start can show it without
opening a file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segstudio.checkpoints.catalogue import load_catalogue
from segstudio.core.errors import SegStudioError
from segstudio.inference.catalogue import ModelInfo, embedded_models, published_models
from segstudio.session.events import ModelReport
from segstudio.session.inspection import facts_card, shorten_facts
from segstudio.session.worker import Message, WorkerClient

if TYPE_CHECKING:
    from segstudio.session.session import Session

__all__ = ["ModelLibrary"]

_USED_KEPT = 8
_REST_SECONDS = 60.0
"""How long the process that looks at files waits for the next one."""


class ModelLibrary:
    """What a session knows of models.

    Files are looked at in a process of its own: torch stays out of the window, and a file that is
    too large for the memory ends no run.

    Parameters
    ----------
    session : Session
        Whose settings hold what is known and whose `model_inspected` carries the news.
    make_client : callable
        Makes the worker client from a message handler.
    """

    def __init__(
        self, session: Session, make_client: Callable[[Callable[[Message], None]], WorkerClient]
    ) -> None:
        self._session = session
        self._settings = session.settings
        self._client = make_client(self._on_message)
        self._lock = threading.RLock()
        self._asked: set[str] = set()
        self._rest: threading.Timer | None = None
        self._closed = False

    # -- what there is ----------------------------------------------------------------------

    def catalogue(self) -> list[ModelInfo]:
        """Return every model that is known: embedded, the user's files, published.

        Raises
        ------
        SegStudioError
            When the installation is damaged.
        """
        added = [self._added(path) for path in self._paths() if path.exists()]
        return [*embedded_models(), *added, *published_models()]

    def ready(self) -> list[ModelInfo]:
        """Return what can run at once: what is on this machine and not known to fit partly."""
        return [model for model in self.catalogue() if model.on_disk and self.fits(model.name)]

    def familiar(self) -> list[ModelInfo]:
        """Return the embedded models, the user's files, and the published ones that were used."""
        used = self._names("used_models")
        return [
            model
            for model in self.ready()
            if model.embedded or model.url is None or model.name in used
        ]

    def facts(self, name: str) -> dict[str, Any] | None:
        """Return what an inspection found in a file of the user's.

        None when there was none, or the file is another one since.
        """
        facts = self._known().get(name)
        if not isinstance(facts, dict) or "path" not in facts:
            return None
        return facts if facts.get("stamp") == _stamp(facts["path"]) else None

    def fits(self, name: str) -> bool:
        """Tell whether a model can run as far as is known."""
        facts = self.facts(name)
        return facts is None or bool(facts["fits"])

    def name_of(self, path: Path | str) -> str:
        """Return the name of the model that a path is: published, embedded, or the path itself."""
        resolved = Path(path).resolve()
        for model in (*embedded_models(), *published_models()):
            if model.path is not None:
                place = model.path.resolve()
                if resolved == place or (resolved.parent == place and place.is_dir()):
                    return model.name
        return str(resolved)

    # -- what a user does -------------------------------------------------------------------

    def add(self, path: Path | str) -> None:
        """Remember a checkpoint file or folder, the newest first."""
        name = str(Path(path).resolve())
        self._settings.set("models", [name, *(e for e in self._names("models") if e != name)])

    def remove(self, name: str) -> None:
        """Forget a file of the user's; the file stays where it is."""
        self._settings.set("models", [entry for entry in self._names("models") if entry != name])
        self._settings.set("model_facts", _without(self._known(), name))

    def mark_used(self, names: Iterable[str]) -> None:
        """Remember that models were run or fetched here, the newest first."""
        new = list(names)
        others = [name for name in self._names("used_models") if name not in new]
        self._settings.set("used_models", [*new, *others][:_USED_KEPT])

    def inspect(self, path: Path | str) -> None:
        """Look at a checkpoint in another process; see `Session.inspect_model`."""
        name = str(Path(path).resolve())
        with self._lock:
            if self._closed or name in self._asked:
                return
            if self._rest is not None:
                self._rest.cancel()
            self._asked.add(name)
            self._client.inspect(name)

    def close(self) -> None:
        """Stop the process; what it was looking at is not reported."""
        with self._lock:
            self._closed = True
            if self._rest is not None:
                self._rest.cancel()
        self._client.close(0.0)  # it only reads: nothing is lost

    # -- news, in the client's thread -------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if self._closed or not isinstance(message, ModelReport):
            return
        try:
            self._remember(message)
        except SegStudioError as error:
            self._session.problem.emit(str(error))
        with self._lock:
            self._asked.discard(message.path)
            if not self._asked:
                self._rest = threading.Timer(_REST_SECONDS, self._end_idle_process)
                self._rest.daemon = True
                self._rest.start()
        self._session.model_inspected.emit(message)

    def _remember(self, report: ModelReport) -> None:
        if report.facts is None:
            self._settings.set("model_facts", _without(self._known(), report.path))
            return
        if self.name_of(report.path) != report.path:
            return  # the catalogue knows it already
        facts = shorten_facts(report.facts) | {"stamp": _stamp(report.facts["path"])}
        self._settings.set("model_facts", {**self._known(), report.path: facts})
        if report.path not in self._names("models"):
            self.add(report.path)

    def _end_idle_process(self) -> None:
        with self._lock:
            if not self._asked and not self._closed:
                self._client.close(0.0)

    # -- the settings -----------------------------------------------------------------------

    def _names(self, key: str) -> list[str]:
        value = self._settings.get(key, [])
        found = value if isinstance(value, list) else []
        return [entry for entry in found if isinstance(entry, str)]

    def _paths(self) -> list[Path]:
        return [Path(name) for name in self._names("models")]

    def _known(self) -> dict[str, Any]:
        value = self._settings.get("model_facts", {})
        return value if isinstance(value, dict) else {}

    def _added(self, path: Path) -> ModelInfo:
        blank = ModelInfo(str(path), path.name, "", "", embedded=False, path=path)
        facts = self.facts(str(path))
        if facts is None:
            return replace(blank, size=_size(path))
        model = replace(
            blank,
            architecture=facts["architecture"],
            label_space=facts["label_space"] or "",
            variant=facts["variant"] or "",
            dataset=str(facts["label_space_title"] or "").partition(",")[0],
            parameters=facts["parameters"],
            size=facts["bytes"],
            card=facts_card(facts),
        )
        entries = {entry.name: entry for entry in load_catalogue()}
        entry = entries.get(facts["published"] or "")
        if entry is None or not facts["fits"]:
            return model
        return replace(
            model,
            dataset=entry.dataset,
            variant=entry.variant,
            licence=entry.licence,
            published_miou=None if entry.miou is None else entry.miou / 100,
            published_miou_ms=None if entry.miou_ms_flip is None else entry.miou_ms_flip / 100,
        )


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _stamp(path: str) -> list[int] | None:
    """Return what changes when a file is replaced, None when it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _size(path: Path) -> int | None:
    stamp = _stamp(str(path)) if path.is_file() else None
    return None if stamp is None else stamp[0]
