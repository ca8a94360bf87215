"""The fine-tuning dialog says what will happen, and the result what did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segstudio.ui.controllers.finetune import _problem
from segstudio.ui.dialogs.finetune import FinetuneDialog, FinetuneResultDialog, ResultRow


def dialog(qtbot: Any, **values: Any) -> FinetuneDialog:
    given = {"learned": 9, "judging": 3, "output": Path("/tmp/a.safetensors"), **values}
    made = FinetuneDialog([("enet-camvid", "ENet"), ("b", "B")], chosen="b", **given)
    qtbot.addWidget(made)
    return made


def test_it_says_how_many_images_learn_and_judge(qtbot: Any) -> None:
    made = dialog(qtbot)
    assert "learns from 9 corrected" in made.summary and "3 others judge" in made.summary
    choice = made.choice()
    assert (choice.model, choice.pixels, choice.freeze) == ("b", "weighted", "norms")
    assert choice.output == Path("/tmp/a.safetensors") and made._start.isEnabled()
    made._output.setText("/tmp/a.pth")
    assert not made._start.isEnabled() and "safetensors" in made._start.toolTip()


@pytest.mark.parametrize(
    ("images", "judging", "models", "word"),
    [
        (3, 1, True, "3 images"),
        (9, 1, True, "1 of which"),
        (9, 9, True, "9 of which"),
        (9, 3, False, "No model"),
    ],
)
def test_what_is_missing_is_said(
    qtbot: Any, images: int, judging: int, models: bool, word: str
) -> None:
    problem = _problem(images, judging, models)
    assert word in problem
    made = dialog(qtbot, problem=problem)
    assert made.summary == problem and not made._start.isEnabled()


def test_enough_is_no_problem() -> None:
    assert _problem(9, 3, True) == ""


def test_the_result_has_a_row_for_each_class(qtbot: Any) -> None:
    rows = [
        ResultRow("Sky", 0.5, 0.625, (0.01, 0.2)),
        ResultRow("Fence", None, 0.1, None),
        ResultRow("mean IoU", 0.5, 0.55, (-0.01, 0.1)),
    ]
    made = FinetuneResultDialog("It was written.", rows)
    qtbot.addWidget(made)
    table = made.table
    texts = [[table.item(row, column).text() for column in range(5)] for row in range(3)]
    assert texts[0] == ["Sky", "50.0", "62.5", "+12.5", "+1.0 … +20.0"]
    assert texts[1] == ["Fence", "–", "10.0", "–", "–"]
