"""Loading plugins: installed ones by entry point, loose ones from folders.

A plugin is a module whose import enters things into the registries.  Each is loaded in its own
try; what a failing one had registered is taken back, the problem is kept to be shown, and the
program runs on.  Built-in things are loaded first, so that on a clash of names it is the plugin
that is refused.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from segstudio.core.registry import Registry, all_registries
from segstudio.core.resources import bundled_plugins

__all__ = ["ENTRY_POINTS", "PluginInfo", "load_plugins", "user_plugin_folder"]

ENTRY_POINTS = "segstudio.plugins"

_loaded: list[PluginInfo] | None = None
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin that was found.

    Attributes
    ----------
    name : str
        Name of the entry point or of the file without ``.py``.
    origin : str
        Distribution or path.
    description : str
        First line of its docstring.
    registered : tuple of str
        What it entered, as "kind name".
    error : str or None
        Why it could not be loaded, one sentence.
    """

    name: str
    origin: str
    description: str
    registered: tuple[str, ...]
    error: str | None = None


def user_plugin_folder() -> Path:
    """Return the folder for a user's own loose plugins; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_data_dir("segstudio", appauthor=False)) / "plugins"


def load_plugins(*, folders: list[Path] | None = None, reload: bool = False) -> list[PluginInfo]:
    """Load all plugins once and return what was found, broken ones included.

    Parameters
    ----------
    folders : list of Path, optional
        Folders of loose plugins; None takes the one that came with SegStudio and the user's.
    reload : bool
        Whether to look again although plugins were loaded before (for tests).
    """
    global _loaded
    with _lock:
        if _loaded is not None and not reload:
            return _loaded
        import segstudio.api  # every registry exists from here on  # noqa: F401

        found = [_load_entry_point(entry) for entry in _entry_points()]
        if folders is None:
            bundled = bundled_plugins()
            folders = [*([bundled] if bundled else []), user_plugin_folder()]
        for folder in folders:
            if folder.is_dir():
                found.extend(_load_file(path) for path in sorted(folder.glob("[!_]*.py")))
        _loaded = found
        return found


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)


def _load_entry_point(entry: importlib.metadata.EntryPoint) -> PluginInfo:
    origin = entry.dist.name if entry.dist is not None else entry.value
    return _guarded(entry.name, origin, entry.load)


def _load_file(path: Path) -> PluginInfo:
    name = f"segstudio_plugins.{path.stem}"

    def load() -> ModuleType:
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        try:
            specification.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return _guarded(path.stem, str(path), load)


def _guarded(name: str, origin: str, load: Callable[[], Any]) -> PluginInfo:
    from segstudio.api import API_VERSION

    before = {kind: registry.foreign_names() for kind, registry in all_registries().items()}
    try:
        module = load()
        wanted = getattr(module, "SEGSTUDIO_API", API_VERSION)
        if wanted != API_VERSION:
            raise ImportError(f"it is written for API {wanted}, this is API {API_VERSION}")
        entered = _entered(before)
        for kind, names in entered.items():
            _refuse_built_in_names(all_registries()[kind], names)
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
        for kind, names in _entered(before).items():
            all_registries()[kind].withdraw(names)
        reason = f"The plugin {name} ({origin}) was not loaded: {type(error).__name__}: {error}"
        return PluginInfo(name, origin, "", (), reason.rstrip(".") + ".")
    lines = (getattr(module, "__doc__", None) or "").strip().splitlines()
    registered = tuple(
        f"{kind} {entry}" for kind, names in entered.items() for entry in sorted(names)
    )
    return PluginInfo(name, origin, lines[0] if lines else "", registered)


def _entered(before: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return what was entered since; a registry that is new counts in full."""
    fresh = {
        kind: registry.foreign_names() - before.get(kind, set())
        for kind, registry in all_registries().items()
    }
    return {kind: names for kind, names in fresh.items() if names}


def _refuse_built_in_names(registry: Registry[Any], names: set[str]) -> None:
    """Load the built-in entries of a registry; a clash raises and names both modules.

    Registries are walked lazily, so a plugin may have come first.  Its entries are set aside, the
    built-in ones loaded, and the plugin's entered again, which is where a clash shows.
    """
    aside = registry.withdraw(names)
    registry.load()
    for name, thing in aside.items():
        registry.register(name)(thing)
