"""All that a plugin or a script may import; everything else may change without notice.

Names are resolved when they are first used, so that importing this module loads neither torch
nor any other large library.

>>> from segstudio.api import load_model, open_dataset, evaluate  # doctest: +SKIP
>>> model = load_model("enet-camvid")  # doctest: +SKIP
>>> prediction = model.predict(image_rgb_uint8)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segstudio.architectures._base import ARCHITECTURES, Facts, Recognition, SegmentationNetwork
    from segstudio.checkpoints.readers import READERS, CheckpointReader, ReadNetwork
    from segstudio.core.atomic import replacing
    from segstudio.core.errors import NotACheckpointError, SegStudioError, UsageError
    from segstudio.core.label_space import LabelMapping, LabelSpace, load_label_space, load_mapping
    from segstudio.core.options import build_options, option
    from segstudio.core.patch import MaskPatch
    from segstudio.core.pointer import PointerEvent, PointerKind
    from segstudio.core.preprocessing import Preprocessing
    from segstudio.core.types import BBox, Prediction, Sample
    from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
    from segstudio.datasets.opening import open_dataset
    from segstudio.editing.tool import TOOLS, EditingTool
    from segstudio.exporters.base import EXPORTERS, Exporter, ExportItem, ImageExporter
    from segstudio.inference.model import load_model
    from segstudio.inference.refiners.base import REFINERS, Refiner
    from segstudio.session.plugins import load_plugins
    from segstudio.session.scripting import evaluate

API_VERSION = 1
"""Raised when something below changes its meaning; a plugin may ask for it in ``SEGSTUDIO_API``."""

_HOMES = {
    "ARCHITECTURES": "segstudio.architectures._base",
    "Facts": "segstudio.architectures._base",
    "Recognition": "segstudio.architectures._base",
    "SegmentationNetwork": "segstudio.architectures._base",
    "READERS": "segstudio.checkpoints.readers",
    "CheckpointReader": "segstudio.checkpoints.readers",
    "ReadNetwork": "segstudio.checkpoints.readers",
    "replacing": "segstudio.core.atomic",
    "NotACheckpointError": "segstudio.core.errors",
    "SegStudioError": "segstudio.core.errors",
    "UsageError": "segstudio.core.errors",
    "LabelMapping": "segstudio.core.label_space",
    "LabelSpace": "segstudio.core.label_space",
    "load_label_space": "segstudio.core.label_space",
    "load_mapping": "segstudio.core.label_space",
    "build_options": "segstudio.core.options",
    "option": "segstudio.core.options",
    "MaskPatch": "segstudio.core.patch",
    "PointerEvent": "segstudio.core.pointer",
    "PointerKind": "segstudio.core.pointer",
    "Preprocessing": "segstudio.core.preprocessing",
    "BBox": "segstudio.core.types",
    "Prediction": "segstudio.core.types",
    "Sample": "segstudio.core.types",
    "FORMATS": "segstudio.datasets.base",
    "Dataset": "segstudio.datasets.base",
    "DatasetFormat": "segstudio.datasets.base",
    "open_dataset": "segstudio.datasets.opening",
    "TOOLS": "segstudio.editing.tool",
    "EditingTool": "segstudio.editing.tool",
    "EXPORTERS": "segstudio.exporters.base",
    "Exporter": "segstudio.exporters.base",
    "ExportItem": "segstudio.exporters.base",
    "ImageExporter": "segstudio.exporters.base",
    "load_model": "segstudio.inference.model",
    "REFINERS": "segstudio.inference.refiners.base",
    "Refiner": "segstudio.inference.refiners.base",
    "load_plugins": "segstudio.session.plugins",
    "evaluate": "segstudio.session.scripting",
}

__all__ = [
    "API_VERSION",
    "ARCHITECTURES",
    "EXPORTERS",
    "FORMATS",
    "READERS",
    "REFINERS",
    "TOOLS",
    "BBox",
    "CheckpointReader",
    "Dataset",
    "DatasetFormat",
    "EditingTool",
    "ExportItem",
    "Exporter",
    "Facts",
    "ImageExporter",
    "LabelMapping",
    "LabelSpace",
    "MaskPatch",
    "NotACheckpointError",
    "PointerEvent",
    "PointerKind",
    "Prediction",
    "Preprocessing",
    "ReadNetwork",
    "Recognition",
    "Refiner",
    "Sample",
    "SegStudioError",
    "SegmentationNetwork",
    "UsageError",
    "build_options",
    "evaluate",
    "load_label_space",
    "load_mapping",
    "load_model",
    "load_plugins",
    "open_dataset",
    "option",
    "replacing",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
