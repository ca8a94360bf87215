"""What every test gets: folders and registries of its own; and the real data, if it is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import SegStudioError
from segstudio.datasets.base import FORMATS

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


def _is_sentence(error: Exception) -> bool:
    """Return whether an error is one plain sentence that a person can be shown."""
    text = str(error)
    return bool(text) and text[-1] in ".?" and "\n" not in text and "Traceback" not in text


def exercise_dataset(folder: Path, name: str) -> int:
    """Open a folder in a format and read everything in it; return how many samples were read.

    Whatever the files hold: what cannot be used is one sentence of ours, what can be used is what
    it says it is, and nothing outside of the folder is touched.
    """
    entry = FORMATS.get(name)
    assert 0 <= entry.sniff(folder) <= 1
    try:
        dataset = entry.open(folder)
    except SegStudioError as error:
        assert _is_sentence(error), error
        return 0
    root = os.path.realpath(folder)
    read = 0
    for sample in dataset.samples:
        for path in (sample.image_path, sample.target_path):
            assert path is None or os.path.realpath(path).startswith(root), path
        try:
            image = dataset.read_image(sample)
            assert image.ndim == 3 and image.dtype == np.uint8
            if sample.target_path is None or dataset.label_space is None:
                continue
            target = dataset.read_target(sample)
        except SegStudioError as error:
            assert _is_sentence(error), error
            continue
        assert target.shape == image.shape[:2]
        dataset.label_space.check(target, "the target")
        read += 1
    return read


@pytest.fixture(scope="session")
def exercise() -> Callable[[Path, str], int]:
    """See `exercise_dataset`."""
    return exercise_dataset
