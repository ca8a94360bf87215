"""Resources are found the same way from source, from a wheel and in a frozen build."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segstudio.core import resources
from segstudio.core.errors import SegStudioError
from segstudio.core.resources import bundled_plugins, resource_path


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    resources._root.cache_clear()
    yield
    resources._root.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Move the package to a folder of its own and return that."""
    folder = tmp_path / "site" / "segstudio"
    folder.mkdir(parents=True)
    monkeypatch.setattr(resources, "_package_folder", lambda: folder)
    return folder


def put(folder: Path) -> Path:
    (folder / "label_spaces").mkdir(parents=True)
    return folder


def test_in_this_tree() -> None:
    assert resource_path("label_spaces", "camvid.json").is_file()
    folder = bundled_plugins()
    assert folder is not None and (folder / "class_shares.py").is_file()


def test_beside_the_package_in_a_source_tree(package: Path) -> None:
    put(package.parent / "resources")
    assert resource_path("label_spaces") == package.parent / "resources" / "label_spaces"


def test_in_the_package_of_a_wheel(package: Path) -> None:
    put(package / "_resources")
    put(package.parent / "resources")  # somebody else's folder in site-packages
    (package / "_plugins").mkdir()
    assert resource_path("label_spaces") == package / "_resources" / "label_spaces"
    assert bundled_plugins() == package / "_plugins"


def test_in_a_frozen_build(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "SegStudio" / "_internal"
    put(bundle / "resources")
    monkeypatch.setattr(sys, "_MEIPASS", str(bundle), raising=False)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(bundle.parent / "SegStudio"))
    assert resource_path("label_spaces") == bundle / "resources" / "label_spaces"
    assert bundled_plugins() is None
    (bundle.parent / "plugins").mkdir()
    assert bundled_plugins() == bundle.parent / "plugins"


def test_what_is_missing_is_one_sentence(package: Path) -> None:
    with pytest.raises(SegStudioError) as caught:
        resource_path("models", "enet.json")
    assert str(caught.value) == (
        "The resource models/enet.json is missing; the installation is incomplete, please install "
        "SegStudio again."
    )
    assert bundled_plugins() is None
