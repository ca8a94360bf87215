"""What a bug report needs: versions, devices, paths, what the processor can do.

Everything is asked in a way that survives a broken installation; what fails is said instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from segstudio import __version__

__all__ = ["build_diagnostics"]

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "numba",
    "opencv-python-headless",
    "opencv-python",
    "pillow",
    "scikit-image",
    "pycocotools",
    "connected-components-3d",
    "safetensors",
    "openvino",
    "onnxruntime",
    "ray",
    "PySide6",
    "PySide6_Essentials",
    "pyqtgraph",
    "psygnal",
    "platformdirs",
    "typer",
    "rich",
)
_CPU_FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "sve",
)


def build_diagnostics() -> dict[str, Any]:
    """Return a JSON-ready description of the installation and the machine.

    Returns
    -------
    dict
        ``segstudio``, ``python``, ``system``, ``versions``, ``devices``, ``cpu``, ``paths``,
        ``plugins`` and ``problems``: sentences about what does not work.
    """
    problems: list[str] = []
    return {
        "segstudio": __version__,
        "frozen": bool(getattr(sys, "frozen", False)),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": _versions(),
        "devices": _devices(problems),
        "cpu": _cpu(),
        "paths": _paths(problems),
        "plugins": _plugins(problems),
        "problems": problems,
    }


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _devices(problems: list[str]) -> list[str]:
    try:
        from segstudio.inference.devices import available_devices

        return available_devices()
    except Exception as error:  # noqa: BLE001 - a broken torch fails in any way it likes
        problems.append(f"PyTorch cannot be used: {_one_line(error)}.")
        return []


def _cpu() -> dict[str, Any]:
    name, flags = platform.processor(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                name = value
            elif key in ("flags", "Features"):
                flags = set(value.split())
    except OSError:
        pass  # not Linux: the name alone
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": name,
        "machine": platform.machine(),
        "cores": usable,
        "features": [entry for entry in _CPU_FEATURES if entry in flags],
    }


def _paths(problems: list[str]) -> dict[str, str | None]:
    import platformdirs

    from segstudio.core.resources import bundled_plugins, resource_path
    from segstudio.session.plugins import user_plugin_folder
    from segstudio.session.settings import default_settings_path

    try:
        resources = str(resource_path("label_spaces").parent)
    except Exception as error:  # noqa: BLE001 - whatever is broken is what is to be told
        problems.append(_one_line(error) + ".")
        resources = None
    bundled = bundled_plugins()
    return {
        "program": sys.executable,
        "package": str(Path(__file__).resolve().parent.parent),
        "resources": resources,
        "settings": str(default_settings_path()),
        "cache": platformdirs.user_cache_dir("segstudio", appauthor=False),
        "data": platformdirs.user_data_dir("segstudio", appauthor=False),
        "user plugins": str(user_plugin_folder()),
        "bundled plugins": None if bundled is None else str(bundled),
    }


def _plugins(problems: list[str]) -> list[str]:
    from segstudio.session.plugins import load_plugins

    try:
        found = load_plugins()
    except Exception as error:  # noqa: BLE001 - what a plugin pulls in may be what is broken
        problems.append(f"The plugins cannot be loaded: {_one_line(error)}.")
        return []
    problems += [plugin.error for plugin in found if plugin.error is not None]
    return [plugin.name for plugin in found if plugin.error is None]


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
