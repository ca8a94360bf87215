"""Corrected label maps: opening, painting, journals, saving, recovery."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.encoding import write_label_map
from segstudio.datasets.images import read_image_size, read_source_map
from segstudio.editing.document import MaskDocument
from segstudio.editing.history import HistoryPool
from segstudio.editing.journal import Journal, recover
from segstudio.editing.live_scores import LiveConfusion
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.targets import build_target_reader

__all__ = ["GROUND_TRUTH", "Correction", "Corrections"]

GROUND_TRUTH = "ground-truth"
"""The source of a correction that starts from the ground truth."""
