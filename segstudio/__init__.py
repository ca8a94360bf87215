"""SegStudio: run, correct and understand semantic segmentation on local hardware."""

__version__ = "0.1.0"
