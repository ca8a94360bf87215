"""What every test gets: folders of its own for settings, plugins and caches, and the real data."""

from __future__ import annotations

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


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; see its INDEX.md."""
    if not SHARED.is_dir():
        pytest.skip(f"there is no real data in {SHARED}")
    return SHARED
