"""``segstudio evaluate --report`` and ``ood --report``: the page against the JSON beside it."""

from __future__ import annotations

import html
import json
import re
import shutil

import pytest


@pytest.fixture(scope="module")
def reported(segstudio, make_dataset, tiny_model, tmp_path_factory):
    """Report of two runs; the second model is a copy under another name."""
    folder = tmp_path_factory.mktemp("report")
    root = make_dataset(folder / "<data> & co")
    other = shutil.copy(tiny_model, folder / "other.safetensors")
    found = segstudio(
        "evaluate", root, "-m", tiny_model, "-m", other, "--report", folder / "out", "--json"
    )  # fmt: skip
    assert found.status == 0, found
    return root, folder / "out", found.document()


def cells(page: str) -> list[str]:
    found = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    return [html.unescape(re.sub(r"<sup>.*?</sup>|<[^>]*>", "", cell)) for cell in found]


def test_the_page_lies_beside_the_tables(reported) -> None:
    _, folder, document = reported
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "report.json", "classes.csv", "samples.csv", "confusion.csv"}
    assert json.loads((folder / "report.json").read_text()) == document


def test_scores_and_differences_are_those_of_the_json(reported) -> None:
    _, folder, document = reported
    page = (folder / "report.html").read_text(encoding="utf-8")
    found = cells(page)
    place = found.index("mean IoU")
    wanted = [f"{100 * run['pooled']['miou']:.2f}" for run in document["runs"]]
    assert found[place + 1 : place + 3] == wanted
    # The same weights: nothing differs.
    again = found.index("mean IoU", place + 1)
    assert found[again + 1 : again + 5] == [*wanted, "0.00", "0.00 to 0.00"]


def test_every_section_is_there_and_names_are_escaped(reported) -> None:
    root, folder, document = reported
    page = (folder / "report.html").read_text(encoding="utf-8")
    headings = [html.unescape(text) for text in re.findall(r"<h2>(.*?)</h2>", page)]
    runs = [run["run"] for run in document["runs"]]
    assert headings[:2] == ["Scores", "Differences"]
    for part in ("Classes", "Confusion", "Distributions", "Worst and best images"):
        assert [f"{part} · {run}" in headings for run in runs] == [True, True]
    assert headings[-2:] == ["Settings and versions", "Definitions"]
    assert "<data>" not in page and html.escape(str(root)) in page
    # Six images whole and a few failures, four pictures each, in both runs.
    assert page.count('<img src="data:image/') >= 2 * 4 * (6 + 6)
    assert page.count('<svg class="plot"') == 2 * 5 + 1
    assert "fp32" in page


def test_a_report_finds_the_error_regions_first(segstudio, reported, tmp_path) -> None:
    from segstudio.cli.common import find_project
    from segstudio.datasets.opening import open_dataset
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store
    from segstudio.session.error_analysis import ErrorAnalysis

    root, folder, document = reported
    first = (folder / "report.html").read_text(encoding="utf-8")
    assert first.count("mIoU % if fixed") == 2, "of both runs"
    dataset = open_dataset(root)
    layout = ProjectLayout(find_project(root, None))
    store = Store(layout.database)
    try:
        errors = ErrorAnalysis(dataset, store, layout)
        run = document["runs"][0]["run"]
        assert errors.missing(run) == []
        summary = errors.summary(run)
    finally:
        store.close()
    again = segstudio("evaluate", root, "--report", tmp_path)
    assert again.status == 0 and "error regions" not in again.err, "they are found once"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = cells(page)
    place = found.index("confused")
    assert found[place + 1] == f"{int(summary.pixels[1]):,}"
    assert found[place + 3] == f"{100 * summary.if_fixed[1]:.1f}"


def test_missing_pictures_do_not_cost_the_report(segstudio, dataset_folder, tiny_model, tmp_path):
    assert segstudio("evaluate", dataset_folder, "-m", tiny_model).status == 0
    for path in (dataset_folder / ".segstudio" / "runs").rglob("entropy/**/*.png"):
        path.unlink()
    found = segstudio("evaluate", dataset_folder, "--report", tmp_path)
    assert found.status == 0, found
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "does not exist" in page and "<img" not in page
    assert "mean IoU" in cells(page)


def test_a_report_that_cannot_be_written_is_one_sentence(
    segstudio, dataset_folder, tiny_model, tmp_path
) -> None:
    (tmp_path / "file").write_text("")
    found = segstudio(
        "evaluate", dataset_folder, "-m", tiny_model, "--report", tmp_path / "file", "--json"
    )
    assert found.status == 2
    (line,) = [text for text in found.err.splitlines() if text.startswith("segstudio: ")]
    assert str(tmp_path / "file") in line and "Traceback" not in found.err


def test_ood_writes_a_page_too(segstudio, dataset_folder, tiny_model, tmp_path) -> None:
    document = {
        "name": "few",
        "source": "camvid",
        "target": "camvid",
        "classes": {"Sky": ["Sky"], "Road": ["Road", "Pavement"]},
    }
    mapping = tmp_path / "few.json"
    mapping.write_text(json.dumps(document))
    found = segstudio(
        "ood", dataset_folder, "-m", tiny_model, "--mapping", mapping, "--report",
        tmp_path / "out", "--smallest-target", 4, "--smallest-predicted", 4,
        "--in-distribution", dataset_folder, "--json",
    )  # fmt: skip
    assert found.status == 0, found
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"ood.html", "ood.json", "categories.csv"}
    page = (tmp_path / "out" / "ood.html").read_text(encoding="utf-8")
    table = cells(page)
    (run,) = found.document()["runs"]
    for entry in run["categories"]:
        place = table.index(entry["name"])
        recall = "–" if entry["recall"] is None else f"{100 * entry['recall']:.1f}"
        assert table[place + 2 : place + 5] == [
            str(entry["images"]), f"{entry['pixels']:,}", recall
        ]  # fmt: skip
    place = table.index("entropy")
    assert table[place + 1] == f"{100 * run['detection']['auroc']:.1f}"
    assert page.count('<svg class="plot"') == 1
    assert "few" in page
