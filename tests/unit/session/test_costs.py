"""What is known of costs: by machine, model and device; a damaged file is no obstacle."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from segstudio.session.costs import costs_path, known_costs, remember_costs


def test_nothing_is_known_at_first() -> None:
    assert not costs_path().exists()
    assert known_costs("enet-camvid") is None


def test_the_last_measurement_per_device_is_kept() -> None:
    remember_costs("enet-camvid", {"device": "cpu", "images_per_second": 1.0})
    remember_costs("enet-camvid", {"device": "cpu", "images_per_second": 2.0})
    found = known_costs("enet-camvid")
    assert found is not None and found["images_per_second"] == 2.0
    assert found["measured"].endswith("+00:00")
    assert known_costs("another") is None and known_costs("enet-camvid", device="cuda:0") is None


def test_the_newest_of_several_devices_unless_one_is_named() -> None:
    for device, day in (("cpu", "2025-01-02"), ("cuda:0", "2025-01-03"), ("mps", "2025-01-01")):
        remember_costs("enet-camvid", {"device": device})
        data = json.loads(costs_path().read_text())
        data["machines"][platform.node()]["enet-camvid"][device]["measured"] = day
        costs_path().write_text(json.dumps(data))
    assert known_costs("enet-camvid")["device"] == "cuda:0"  # type: ignore[index]
    assert known_costs("enet-camvid", device="mps")["measured"] == "2025-01-01"  # type: ignore[index]


def test_machines_that_share_the_folder_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_costs("enet-camvid", {"device": "cpu", "runs": 1})
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(platform, "node", lambda: "elsewhere")
        assert known_costs("enet-camvid") is None
        remember_costs("enet-camvid", {"device": "cpu", "runs": 2})
    assert known_costs("enet-camvid")["runs"] == 1  # type: ignore[index]


def test_a_file_is_known_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pth").write_bytes(b"")
    remember_costs(tmp_path / "net.pth", {"device": "cpu"})
    monkeypatch.chdir(tmp_path)
    assert known_costs("net.pth") == known_costs(str(tmp_path / "net.pth")) is not None


@pytest.mark.parametrize("text", ["", "[]", '{"machines": 3}', '{"machines": {"NODE": [1]}}'])
def test_a_damaged_file_counts_as_empty_and_is_replaced(text: str) -> None:
    costs_path().parent.mkdir(parents=True)
    costs_path().write_text(text.replace("NODE", platform.node()))
    assert known_costs("enet-camvid") is None
    remember_costs("enet-camvid", {"device": "cpu"})
    assert known_costs("enet-camvid") is not None


def test_it_loads_no_torch() -> None:
    code = "import segstudio.session.costs as c, sys; c.known_costs('x'); print(*sys.modules)"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert "torch" not in done.stdout.split()
