"""The window comes up without the libraries that only a run or a count needs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "timm", "numba", "skimage", "scipy", "pandas")

_SAY = f"print([name for name in {HEAVY!r} if name in sys.modules])"

_JOIN = """
from PySide6.QtWidgets import QApplication
from segstudio.session.settings import Settings
from segstudio.ui.theme import ThemeManager
qt = QApplication([])
application = segstudio.ui.app.Application(Settings(), ThemeManager(qt, "dark"))
application.window.show()
application.join()
qt.processEvents()
application.window.close()
"""


def _loaded(code: str) -> str:
    script = f"import sys\nimport segstudio.ui.app\n{code}\n{_SAY}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_window_loads_nothing_heavy() -> None:
    assert _loaded("") == "[]"


def test_a_window_joined_with_its_session_loads_nothing_heavy() -> None:
    assert _loaded(_JOIN) == "[]"
