"""Time to the first painted window against the bare import of its libraries, both in one run.

Run ``python tests/benchmarks/bench_startup.py`` on a display (or with QT_QPA_PLATFORM=offscreen).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

BARE = "import PySide6.QtWidgets, pyqtgraph"
WINDOW = """
import os
import segstudio.__main__, segstudio.cli.window  # what the command goes through
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from segstudio.session.settings import Settings
from segstudio.ui.app import Application
from segstudio.ui.theme import ThemeManager
qt = QApplication([])
application = Application(Settings(), ThemeManager(qt, "dark"))
def painted():
    qt.processEvents()
    os._exit(0)
application.window.first_shown.connect(lambda: QTimer.singleShot(0, painted))
application.window.show()
qt.exec()
"""
ROUNDS = 7


def main() -> None:
    """Print medians and their ratio."""
    times: dict[str, list[float]] = {BARE: [], WINDOW: []}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SEGSTUDIO_CONFIG": folder}
        for _ in range(ROUNDS):
            for code, entries in times.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], env=environment, check=True)
                entries.append(time.perf_counter() - started)
    bare, window = (statistics.median(entries) for entries in times.values())
    print(f"import PySide6.QtWidgets, pyqtgraph   {bare:.2f} s")
    print(f"window painted                        {window:.2f} s")
    print(f"ratio                                 {window / bare:.2f}")


if __name__ == "__main__":
    main()
