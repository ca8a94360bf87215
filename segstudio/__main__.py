"""``segstudio`` and ``python -m segstudio``: commands run, anything else opens the window."""

from __future__ import annotations

import sys


def main() -> int:
    """Run SegStudio with the process's arguments and return the exit status."""
    from segstudio.cli.app import main as run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
