"""The report's page: nothing in it comes from elsewhere, nothing in it is taken for markup."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image

from segstudio.analysis.compare import compare_tables
from segstudio.analysis.tables import build_run_table
from segstudio.core.class_style import ClassStyle, line_colors
from segstudio.core.errors import CancelledError, WriteError
from segstudio.core.label_space import ClassInfo, LabelSpace
from segstudio.core.palette import distinct_colors, hex_color
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.metrics.counts import count_sample
from segstudio.metrics.report import RunCounts, build_report
from segstudio.project.layout import ProjectLayout
from segstudio.session import report_plots
from segstudio.session.report_details import comparison_section
from segstudio.session.report_gallery import Gallery, Shown, choose_failures
from segstudio.session.report_html import REPORT_DEFINITIONS, write_html_report
from segstudio.session.report_markup import Notes, clean, difference, interval, percent
from segstudio.session.targets import TargetReader

EVIL = "<script>alert(1)</script>\"'&$x_1$"


def make_space(names: list[str]) -> LabelSpace:
    colors = distinct_colors(len(names))
    classes = tuple(
        ClassInfo(index, name, colors[index], index) for index, name in enumerate(names)
    )
    return LabelSpace("made", classes)


def random_samples(space: LabelSpace, count: int, seed: int = 0, wrong: float = 0.3):
    generator = np.random.default_rng(seed)
    classes = len(space)
    samples = []
    for number in range(count):
        target = generator.integers(0, classes, (40, 50)).astype(np.uint8)
        noise = generator.integers(0, classes, target.shape).astype(np.uint8)
        prediction = np.where(generator.random(target.shape) < wrong, noise, target)
        levels = [generator.integers(0, 256, target.shape).astype(np.uint8) for _ in range(2)]
        counts = count_sample(
            target, prediction, classes, entropy=levels[0], confidence=levels[1], kernel="numpy"
        )
        samples.append((f"{number:03}.png", counts))
    return samples


class Page(HTMLParser):
    """Tags with their attributes, and the text by the tag that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style", "td", "sup"):
            self._open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self._open[-1:] != ["style"]:
            self.texts.append(data)
        if self._open[-1:] == ["td"]:
            self.cells[-1] += data


def written(report, folder: Path, **options) -> str:
    return write_html_report(report, folder, **options).read_text(encoding="utf-8")


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    space = make_space([EVIL, "b", "c<i>"])
    samples = [(EVIL + "\udcff\x00.png", random_samples(space, 1)[0][1])]
    samples += random_samples(space, 3)
    report = build_report(
        space, [RunCounts(EVIL, "m", samples)], [("<b>x</b>.png", "<u>no</u> & \udce4.")]
    )
    text = written(report, tmp_path)
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"i", "b", "u"} & {
        tag for tag, attributes in page.tags if not attributes and tag in ("i", "u")
    }
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    everything = "".join(page.texts)
    assert EVIL in everything
    assert "<b>x</b>.png" in everything and "<u>no</u> & ?." in everything
    assert text.count("<script>") == 1


def test_the_page_asks_for_nothing_and_allows_one_script(tmp_path: Path) -> None:
    space = make_space(["a", "b", "c"])
    text = written(build_report(space, [RunCounts("r", "m", random_samples(space, 4))]), tmp_path)
    page = Page(text)
    assert "http:" not in text and "https:" not in text and "@import" not in text
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), target
    assert not re.search(r"url\((?!#)", text)
    policies = [
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in str(policies[0])
    assert str(policies[0]).startswith("default-src 'none'")


def test_links_lead_somewhere_and_anchors_are_unique(tmp_path: Path) -> None:
    space = make_space(["a", "b", "c"])
    runs = [RunCounts(f"run {n}", "m", random_samples(space, 4, n)) for n in range(2)]
    page = Page(written(build_report(space, runs), tmp_path))
    anchors = [str(attributes["id"]) for _, attributes in page.tags if attributes.get("id")]
    sections = [entry for entry in anchors if not re.fullmatch("[mp][0-9a-f]{10}", entry)]
    assert len(set(sections)) == len(sections)
    links = [attributes.get("href") for tag, attributes in page.tags if tag == "a"]
    assert len(links) > 20
    assert {str(link)[1:] for link in links} <= set(anchors)


def test_the_numbers_are_those_of_the_report(tmp_path: Path) -> None:
    space = make_space(["a", "b", "c"])
    report = build_report(space, [RunCounts("r", "m", random_samples(space, 6))])
    page = Page(written(report, tmp_path))
    (run,) = report.runs
    assert run.uncertainty is not None
    cells = page.cells
    for value in (run.miou, run.pixel_accuracy, run.fw_iou, run.dice, run.per_image_miou):
        assert f"{100 * value:.2f}" in cells
    assert f"{100 * run.uncertainty.ause:.2f}" in cells
    low, high = run.miou_interval
    assert f"{100 * low:.2f} to {100 * high:.2f}" in cells
    for entry in run.classes:
        place = cells.index(entry.name)
        low, high = entry.iou_interval
        wanted = [f"{100 * entry.iou:.1f}", "", f"{100 * low:.1f} to {100 * high:.1f}"]
        assert cells[place + 1 : place + 4] == wanted
        assert f"{entry.target_pixels:,}" in cells[place : place + 10]


def test_the_bar_is_as_long_as_the_score(tmp_path: Path) -> None:
    space = make_space(["a", "b"])
    report = build_report(space, [RunCounts("r", "m", random_samples(space, 3))])
    page = Page(written(report, tmp_path))
    widths = [
        float(str(attributes["width"]))
        for tag, attributes in page.tags
        if tag == "rect" and attributes.get("class") == "fill"
    ]
    wanted = [100 * entry.iou for entry in report.runs[0].classes]
    assert widths == pytest.approx(wanted, abs=0.006)


@pytest.mark.parametrize("count", [0, 1])
def test_what_does_not_exist_is_a_dash(tmp_path: Path, count: int) -> None:
    space = make_space(["a", "b", "never"])
    samples = [
        (name, count_sample(np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8), 3))
        for name in ["x.png"][:count]
    ]
    page = Page(written(build_report(space, [RunCounts("r", "m", samples)]), tmp_path))
    assert not re.search(r"\bnan\b", "".join(page.texts), re.IGNORECASE)
    # Intervals need two images; a class that nobody holds has no IoU.
    assert page.cells[page.cells.index("95 % interval") + 1] == "–"
    assert page.cells[page.cells.index("never") + 1] == "–"


def test_scores_without_a_network_have_no_uncertainty(tmp_path: Path) -> None:
    space = make_space(["a", "b"])
    samples = random_samples(space, 2)
    report = build_report(space, [RunCounts("r", "m", samples)], uncertainty=False)
    text = written(report, tmp_path)
    assert "Reliability" not in text and "ECE" not in text
    assert "Mean IoU of the images" in text


def test_ade20k_gets_its_own_score(tmp_path: Path) -> None:
    space = make_space(["a", "b"])
    runs = [RunCounts("r", "m", random_samples(space, 2))]
    assert "ADE20K score" not in written(build_report(space, runs), tmp_path)
    report = build_report(replace(space, name="ade20k"), runs)
    (run,) = report.runs
    cells = Page(written(report, tmp_path)).cells
    wanted = f"{50 * (run.miou + run.pixel_accuracy):.2f}"
    assert cells[cells.index("ADE20K score") + 1] == wanted


def test_150_classes_and_many_images_stay_small(tmp_path: Path) -> None:
    space = make_space([f"class number {index}" for index in range(150)])
    report = build_report(space, [RunCounts("r", "m", random_samples(space, 20))])
    text = written(report, tmp_path)
    assert len(text) < 1_500_000
    assert text.count("class number 77") >= 3


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make_space(["a", "b"])
    report = build_report(space, [RunCounts("r", "m", random_samples(space, 2))])
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(CancelledError):
        write_html_report(report, tmp_path, cancelled=lambda: True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(WriteError, match="file"):
        write_html_report(report, in_the_way)


def test_numbers_as_text() -> None:
    assert percent(0.12345) == "12.3" and percent(math.nan) == "–"
    assert difference(-0.0123) == "−1.2" and difference(0.0123) == "+1.2"
    assert difference(-0.0001) == "0.0" and difference(math.nan) == "–"
    assert interval((0.1, 0.2)) == "10.0 to 20.0" and interval((math.nan, 0.2)) == "–"
    assert interval((-0.1, 0.2), signed=True) == "−10.0 to +20.0"
    assert clean("a\udcff\n\x00b") == "a?  b"


def test_notes_are_numbered_as_they_are_met() -> None:
    notes = Notes({"one": "1 < 2", "two": "second", "three": "third"})
    assert 'href="#note-1">1<' in notes.mark("two")
    assert 'href="#note-2">2<' in notes.mark("one") and "#note-1" in notes.mark("two")
    text = notes.render()
    assert text.index("second") < text.index("1 &lt; 2") and "third" not in text
    with pytest.raises(KeyError):
        notes.mark("four")


# -- plots ----------------------------------------------------------------------------------


def parsed(svg: str | None) -> ElementTree.Element:
    assert svg is not None
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))


def test_plots_are_whole_and_take_the_colour_of_the_page() -> None:
    generator = np.random.default_rng(1)
    histogram = generator.integers(0, 99, (3, 2, 256))
    plots = [
        report_plots.plot_reliability(histogram, "a"),
        report_plots.plot_entropy(histogram, "b"),
        report_plots.plot_sparsification(histogram, "c"),
        report_plots.plot_mious([0.1, 0.5, math.nan, 0.6], "d"),
        report_plots.plot_scatter([(0.1, 0.2), (0.5, 0.4)], ("<a>", "\udcffb"), "e"),
        report_plots.plot_shift(histogram[0, 0], histogram[0, 1], "f"),
    ]
    for plot in plots:
        text = ElementTree.tostring(parsed(plot), encoding="unicode")
        assert "currentColor" in text and "#010203" not in text and "mathdefault" not in text
        assert "metadata" not in text and "DejaVu" not in text
    assert "&lt;a&gt;" in str(plots[4])


def test_plots_of_nothing_are_none() -> None:
    nothing = np.zeros((2, 2, 256), np.int64)
    assert report_plots.plot_reliability(nothing, "a") is None
    assert report_plots.plot_entropy(nothing, "a") is None
    assert report_plots.plot_sparsification(nothing, "a") is None
    assert report_plots.plot_mious([math.nan], "a") is None
    assert report_plots.plot_scatter([(math.nan, 0.1)], ("a", "b"), "a") is None
    assert report_plots.plot_confusion(np.zeros((2, 3), np.int64), ["a", "b"], "a") == (None, 2)


def test_the_confusion_matrix_says_shares_of_rows_and_leaves_out_absent_classes() -> None:
    confusion = np.zeros((4, 5), np.int64)
    confusion[0] = [6, 2, 0, 0, 2]
    confusion[3, 3] = 5
    svg, left_out = report_plots.plot_confusion(confusion, ["a", "b", "never", "$d$"], "a")
    texts = [node.text for node in parsed(svg).iter() if node.text and node.text.strip()]
    assert left_out == 1
    for text, times in (("60", 1), ("20", 2), ("100", 1), ("a", 2), ("$d$", 2), ("ignored", 1)):
        assert texts.count(text) == times, text
    assert "never" not in texts


def test_many_points_become_one_picture() -> None:
    points = np.random.default_rng(0).random((4000, 2))
    svg = report_plots.plot_scatter([tuple(pair) for pair in points], ("a", "b"), "a")
    assert svg is not None and len(svg) < 200_000 and "data:image/png" in svg


def test_importing_the_report_loads_no_plotting_library() -> None:
    code = "import sys, segstudio.session.report_html; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- two runs -------------------------------------------------------------------------------


def test_differences_have_their_sign_and_are_bold_where_they_are_sure() -> None:
    space = make_space([EVIL, "b"])
    worse, better = (
        build_run_table(random_samples(space, 12, 5, wrong), 2) for wrong in (0.9, 0.1)
    )
    comparison = compare_tables(space, worse, better, runs=("<worse>", "better"))
    notes = Notes(REPORT_DEFINITIONS)
    text = comparison_section(comparison, notes, "s")
    page = Page(text)
    first = page.cells.index("mean IoU")
    delta = comparison.pooled[1]["miou"] - comparison.pooled[0]["miou"]
    assert delta > 0.2
    assert page.cells[first + 3] == f"+{100 * delta:.2f}"
    low, high = comparison.miou_interval
    assert page.cells[first + 4] == f"+{100 * low:.2f} to +{100 * high:.2f}"
    assert f"<b>+{100 * delta:.2f}</b>" in text
    assert 'class="gain"' in text and 'class="loss"' not in text
    assert "script" not in {tag for tag, _ in page.tags}
    same = comparison_section(compare_tables(space, worse, worse), notes, "t")
    assert "<b>0" not in same and 'class="gain"' not in same


# -- pictures -------------------------------------------------------------------------------


def test_failures_are_the_images_with_most_wrong_pixels_worst_class_first() -> None:
    def sample(target: list[int], prediction: list[int]):
        return count_sample(np.array([target], np.uint8), np.array([prediction], np.uint8), 4)

    table = build_run_table(
        [
            ("one", sample([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])),
            ("two", sample([0, 0, 0, 1, 1], [0, 1, 1, 1, 0])),
            ("all right", sample([2, 2, 2, 2, 2], [2, 2, 2, 2, 2])),
        ],
        4,
    )
    chosen = choose_failures(table, ["a", "b", "c", "d"], most=9, each=1)
    # IoU of b is 3 / 7, of a 3 / 7 as well; the lower index comes first.
    assert [(entry.sample_id, entry.class_index) for entry in chosen] == [("two", 0), ("two", 1)]
    assert chosen[0].caption == "a: 3 wrong pixels"
    chosen = choose_failures(table, ["a", "b", "c", "d"], most=3, each=2)
    assert [entry.sample_id for entry in chosen] == ["two", "one", "two"]


@pytest.fixture
def stored(tmp_path: Path) -> tuple[TargetReader, ProjectLayout]:
    """One image of 300 x 400 with a square of class 1 that is predicted as class 2."""
    layout = ProjectLayout(tmp_path / "project")
    target = np.zeros((300, 400), np.uint8)
    target[200:220, 100:120] = 1
    target[0, :] = 255
    prediction = np.where(target == 1, 2, 0).astype(np.uint8)
    photo = np.full((300, 400, 3), 90, np.uint8)
    files = {
        tmp_path / "photo.png": photo,
        tmp_path / "target.png": target,
        layout.layer("r", "labels", "photo.png"): prediction,
        layout.layer("r", "entropy", "photo.png"): np.full((300, 400), 128, np.uint8),
    }
    for path, pixels in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
    space = make_space(["back", EVIL, "c"])
    samples = (Sample("photo.png", tmp_path / "photo.png", tmp_path / "target.png"),)
    dataset = Dataset(tmp_path, "paired", samples, space)
    return TargetReader(space, dataset, space, None, None), layout


def pictures(text: str) -> list[np.ndarray]:
    found = []
    for tag, attributes in Page(text).tags:
        if tag == "img":
            data = str(attributes["src"]).partition("base64,")[2]
            found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
    return found


def test_a_crop_holds_the_error_and_says_what_it_is(stored) -> None:
    reader, layout = stored
    text, size = Gallery(reader, layout, "r").render([Shown("photo.png", EVIL, 1)], 10**6)
    assert size > 0
    page = Page(text)
    assert f"largest error: {EVIL} taken for c" in "".join(page.texts)
    assert "script" not in {tag for tag, _ in page.tags}
    photo, prediction, target, entropy = pictures(text)
    # The smallest crop, 96 x 72, about the square's middle (210, 110).
    assert photo.shape == prediction.shape == target.shape == entropy.shape == (72, 96, 3)
    colors = reader.space.colors
    square = np.zeros((72, 96), bool)
    square[26:46, 38:58] = True
    assert ((prediction == colors[2]).all(-1) == square).all()
    assert ((target == colors[1]).all(-1) == square).all()
    legend = [str(attributes.get("style")) for tag, attributes in page.tags if tag == "i"]
    assert len(legend) == 1 + 3 + 1  # the caption's, three classes, not labelled


def test_a_whole_image_is_reduced_and_unlabelled_pixels_are_no_class(stored) -> None:
    reader, layout = stored
    text, _ = Gallery(reader, layout, "r").render([Shown("photo.png", "all")], 10**6)
    photo, _, target, _ = pictures(text)
    assert photo.shape == target.shape == (240, 320, 3)
    assert (target[0] == (205, 210, 216)).all()
    assert {tuple(color) for color in target[1:].reshape(-1, 3).tolist()} == {
        reader.space.colors[0],
        reader.space.colors[1],
    }


@pytest.mark.parametrize("patterns", [False, True])
def test_a_report_has_the_colours_and_patterns_of_the_window(stored, patterns: bool) -> None:
    reader, layout = stored
    style = ClassStyle("tol", patterns)
    gallery = Gallery(reader, layout, "r", style=style)
    text, _ = gallery.render([Shown("photo.png", EVIL, 1)], 10**6)
    _, prediction, _, _ = pictures(text)
    color = style.color(2, reader.space.colors[2])
    line = line_colors(np.array([color], np.uint8))[0]
    square = prediction[26:46, 38:58].reshape(-1, 3)
    is_line = (square == line).all(-1)
    assert ((square == color).all(-1) | is_line).all() and is_line.any() == patterns
    swatches = [str(attributes["style"]) for tag, attributes in Page(text).tags if tag == "i"]
    assert f"background:{hex_color(style.color(0, reader.space.colors[0]))}" in swatches
    tiles = [css for css in swatches if "url(data:image/png;base64," in css]
    # The caption's class 1 and, in the legend, 1 and 2; class 0 has no lines.
    assert len(tiles) == (3 if patterns else 0)
    for css in tiles:
        tile = Image.open(io.BytesIO(base64.b64decode(css.partition("base64,")[2].rstrip(")"))))
        assert tile.size == (8, 8) and len(tile.getcolors()) == 2


def test_pictures_end_at_their_budget_and_missing_ones_are_named(stored) -> None:
    reader, layout = stored
    rows = [Shown("photo.png", "again")] * 5
    gallery = Gallery(reader, layout, "r")
    one = gallery.render(rows[:1], 10**9)[1]
    text, size = gallery.render(rows, one)
    assert size == 2 * one and "3 more would make this file too large." in text
    layout.layer("r", "entropy", "photo.png").unlink()
    text, size = Gallery(reader, layout, "r").render(rows, 10**9)
    assert size == 0 and text.count("photo.png.png does not exist") == 3
    assert "2 more images cannot be shown." in text
    assert Gallery(reader, layout, "r").render([], 10**9) == ('<p class="muted">–</p>', 0)
