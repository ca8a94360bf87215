"""What models were measured to cost on this machine; `segstudio bench models` measures.

One JSON file in the user's data folder.  The folder may be shared by several machines, so results
are kept by the machine's name.  Nothing here loads torch.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segstudio.core.atomic import write_text

__all__ = ["costs_path", "known_costs", "remember_costs"]


def costs_path() -> Path:
    """Return the file; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_data_dir("segstudio", appauthor=False)) / "costs.json"


def known_costs(model: str | Path, *, device: str | None = None) -> dict[str, Any] | None:
    """Return what a model was last measured to cost on this machine.

    Parameters
    ----------
    model : str or Path
        Name of an embedded or published model, or path of a checkpoint.
    device : str, optional
        Only what was measured on this device ("cpu", "cuda:0").

    Returns
    -------
    dict or None
        As `segstudio.inference.costs.Costs.to_json`, with ``measured``, a date in UTC; None when
        it was never measured here.
    """
    entries = _read().get(platform.node(), {}).get(_key(model), {})
    found = [
        entry
        for place, entry in entries.items()
        if isinstance(entry, dict) and (device is None or place == device)
    ]
    return max(found, key=lambda entry: str(entry.get("measured", "")), default=None)


def remember_costs(model: str | Path, costs: dict[str, Any]) -> None:
    """Keep what a model was measured to cost, in place of what was known for its device.

    Raises
    ------
    WriteError
        When the file cannot be written.
    """
    machines = _read()
    models = machines.setdefault(platform.node(), {})
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    models.setdefault(_key(model), {})[costs["device"]] = {**costs, "measured": measured}
    text = json.dumps({"version": 1, "machines": machines}, indent=1, sort_keys=True)
    write_text(costs_path(), text, durable=False)


def _key(model: str | Path) -> str:
    path = Path(model).expanduser()
    return str(path.resolve()) if path.exists() else str(model)


def _read() -> dict[str, Any]:
    """Return {machine: {model: {device: costs}}}; a file that cannot be read counts as empty."""
    try:
        data = json.loads(costs_path().read_text(encoding="utf-8"))
        machines = data["machines"]
        sound = isinstance(machines, dict) and all(
            isinstance(models, dict) and all(isinstance(entry, dict) for entry in models.values())
            for models in machines.values()
        )
        return machines if sound else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
