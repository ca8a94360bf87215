"""The floors hold, the contracts catch what they forbid, and heavy libraries are loaded late."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "pyproject.toml"
CONTRACTS = tomllib.loads(CONFIGURATION.read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]

RUN_LINTER = "from importlinter.cli import lint_imports_command as run; run()"
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "numba",
    "skimage",
    "scipy",
    "pandas",
    "cc3d",
    "openvino",
    "onnxruntime",
    "matplotlib",
    "ray",
}
QT = {"PySide6", "shiboken6", "pyqtgraph", "qtawesome", "qtpy"}

PLANTED = {
    # file: (its text, what the report has to name)
    "core/planted.py": (
        "from segstudio.session import settings\n",
        "segstudio.core.planted -> segstudio.session.settings",
    ),
    "metrics/planted.py": (
        "import segstudio.datasets.base\n",
        "segstudio.metrics.planted -> segstudio.datasets.base",
    ),
    "cli/planted.py": (
        "import segstudio.ui.theme\n",
        "segstudio.cli.planted -> segstudio.ui.theme",
    ),
    "session/planted_qt.py": (
        "def show():\n    from PySide6 import QtWidgets\n",
        "segstudio.session.planted_qt -> PySide6",
    ),
    "session/planted_torch.py": (
        "def run():\n    import torch\n",
        "segstudio.session.planted_torch -> torch",
    ),
    "ui/panels/planted.py": (
        "from segstudio.session import settings\n",
        "segstudio.ui.panels.planted -> segstudio.session.settings",
    ),
    "ui/planted_helper.py": ("import segstudio.session.events\n", ""),
    "ui/models/planted.py": (
        "import segstudio.ui.planted_helper\n",
        "segstudio.ui.models.planted -> segstudio.ui.planted_helper",
    ),
    "editing/planted_one.py": ("import segstudio.editing.planted_two\n", "planted_one"),
    "editing/planted_two.py": ("import segstudio.editing.planted_one\n", "planted_two"),
    "planted_room/__init__.py": ("", "planted_room"),
}


def test_the_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(CONFIGURATION), no_cache=True)
    report = capsys.readouterr().out
    assert status == EXIT_STATUS_SUCCESS, report
    for contract in CONTRACTS:
        assert f"{contract['name']} KEPT" in " ".join(report.split()), contract["id"]


def test_planted_violations_are_caught(tmp_path: Path) -> None:
    shutil.copy(CONFIGURATION, tmp_path)
    shutil.copytree(
        ROOT / "segstudio", tmp_path / "segstudio", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name, (text, _) in PLANTED.items():
        path = tmp_path / "segstudio" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN_LINTER, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    report = " ".join(done.stdout.split())
    for contract in CONTRACTS:
        assert f"{contract['name']} BROKEN" in report, contract["id"]
    for name, (_, wanted) in PLANTED.items():
        assert wanted in report, f"{name} was not caught:\n{done.stdout}"


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "module",
    ["segstudio.__main__", "segstudio.api", "segstudio.cli.app", "segstudio.session.session"],
)
def test_it_is_imported_without_torch_and_qt(module: str) -> None:
    assert not loaded_by(f"import {module}") & (HEAVY | QT)


def test_every_name_of_the_api_exists_and_the_rest_is_an_error() -> None:
    from segstudio import api

    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        api.Nothing  # noqa: B018


def test_the_window_is_imported_without_torch() -> None:
    every_module = (
        "import importlib, pkgutil, segstudio.ui as ui\n"
        "for module in pkgutil.walk_packages(ui.__path__, 'segstudio.ui.'):\n"
        "    importlib.import_module(module.name)"
    )
    found = loaded_by(every_module)
    assert {"PySide6", "pyqtgraph"} <= found
    assert not found & HEAVY
