"""A table of things by name, filled by a decorator.

A registry has three doors, the same decorator for all of them:

1. built-in: a module in the registry's own package; the package is walked at the first look-up,
   so nothing is imported before somebody asks and no list of names has to be kept;
2. installed: a distribution with an entry point in the group ``segstudio.plugins``;
3. loose: a ``.py`` file in ``plugins/`` or in the user's plugin folder.

Doors 2 and 3 are opened by `segstudio.session.plugins`.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from segstudio.core.errors import PluginError, SegStudioError, UnknownNameError

__all__ = ["Registry", "all_registries", "did_you_mean"]

T = TypeVar("T")
C = TypeVar("C", bound=type)

_ALL: dict[str, Registry[Any]] = {}


def all_registries() -> dict[str, Registry[Any]]:
    """Return every registry made so far by what it holds ("architecture", "format" ...)."""
    return dict(_ALL)


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a closing half-sentence that offers the nearest names, or lists a few."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if not near and len(name) >= 3:
        # The beginning or a part of a long name is no close match of it.
        near = [entry for entry in sorted(known) if name.lower() in entry.lower()][:3]
    if near:
        return f"did you mean {' or '.join(near)}?"
    shown = ", ".join(sorted(known)[:12]) + (", ..." if len(known) > 12 else "")
    return f"known are {shown}." if known else "none is known."


class Registry(Generic[T]):
    """Names to things of one kind.

    Parameters
    ----------
    kind : str
        What the registry holds, singular, as a person would say it ("architecture").
    package : str
        The package whose modules register the built-in ones.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}
        self._origins: dict[str, str] = {}
        self._walked = False
        self._lock = threading.RLock()
        _ALL[kind] = self

    def register(self, name: str) -> Callable[[C], C]:
        """Return a decorator that enters a class under ``name``.

        Raises
        ------
        PluginError
            When the name is taken; the message names both modules.
        """

        def enter(thing: C) -> C:
            origin = getattr(thing, "__module__", "?")
            with self._lock:
                if name in self._entries:
                    raise PluginError(
                        f"The {self.kind} {name!r} of {origin} is already registered by "
                        f"{self._origins[name]}; give it another name."
                    )
                self._entries[name] = thing  # type: ignore[assignment]
                self._origins[name] = origin
            thing.name = name  # type: ignore[attr-defined]
            return thing

        return enter

    def load(self) -> None:
        """Import every module of the registry's package, once.

        Raises
        ------
        SegStudioError
            When the walk finds no module: a broken installation or frozen build.
        """
        with self._lock:
            if self._walked:
                return
            self._walked = True
            package = importlib.import_module(self.package)
            names = [module.name for module in pkgutil.iter_modules(package.__path__)]
            try:
                for name in names:
                    if not name.startswith("_"):
                        importlib.import_module(f"{self.package}.{name}")
                if not self._entries:
                    raise SegStudioError(
                        f"No {self.kind} is registered by {self.package}; "
                        "the installation is incomplete, please install SegStudio again."
                    )
            except BaseException:
                self._walked = False
                raise

    def get(self, name: str) -> T:
        """Return the thing called ``name``.

        Raises
        ------
        UnknownNameError
            When there is none; the message offers the nearest names.
        """
        self.load()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(
                f"There is no {self.kind} {name!r}: {did_you_mean(name, self.names())}"
            ) from None

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self.load()
        return sorted(self._entries)

    def items(self) -> list[tuple[str, T]]:
        """Return (name, thing) pairs, sorted by name."""
        self.load()
        return sorted(self._entries.items())

    def origin(self, name: str) -> str:
        """Return the module that registered ``name``."""
        return self._origins[name]

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def foreign_names(self) -> set[str]:
        """Return the names entered so far from outside the registry's own package."""
        prefix = f"{self.package}."
        with self._lock:
            return {name for name, at in self._origins.items() if not at.startswith(prefix)}

    def withdraw(self, names: set[str]) -> dict[str, T]:
        """Take entries out again, those of a failed plugin, and return them."""
        with self._lock:
            for name in names:
                del self._origins[name]
            return {name: self._entries.pop(name) for name in sorted(names)}
