"""Names of the subcommands, apart from their code: the window asks for them at its start."""

from __future__ import annotations

__all__ = ["COMMANDS"]

COMMANDS = (
    "bench",
    "colors",
    "compare",
    "demo",
    "doctor",
    "download",
    "evaluate",
    "export",
    "finetune",
    "import-run",
    "inspect",
    "list",
    "look",
    "ood",
    "run",
    "score",
    "train",
)
"""Names of the subcommands; anything else that is not an option opens the window."""
