"""What every test gets: folders and registries of its own; and the real data, if it is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def _isolate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # numba keeps its compiled code beside the source, so it is not compiled again for each test.
    monkeypatch.setenv("SEGSTUDIO_CONFIG", str(folder / "config"))
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / f"xdg-{name.lower()}"))


@pytest.fixture(scope="session", autouse=True)
def _isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate the fixtures that live longer than one test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _isolate(tmp_path_factory.mktemp("user"), monkeypatch)
        yield


@pytest.fixture(autouse=True)
def _isolated(
    _isolated_session: None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Keep a test from seeing the user's settings and plugins, and from changing them."""
    _isolate(tmp_path_factory.mktemp("user"), monkeypatch)


@pytest.fixture(autouse=True)
def _without_plugins() -> Iterator[None]:
    """Take out what loose plugins entered while a test ran: the next one loads its own."""
    yield
    plugins = sys.modules.get("segstudio.session.plugins")
    if plugins is None:
        return
    from segstudio.core.registry import all_registries

    plugins._loaded = None
    for registry in all_registries().values():
        names = registry.foreign_names()
        loose = {name for name in names if registry.origin(name).startswith("segstudio_plugins.")}
        registry.withdraw(loose)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; see its INDEX.md."""
    if not SHARED.is_dir():
        pytest.skip(f"there is no real data in {SHARED}")
    return SHARED
