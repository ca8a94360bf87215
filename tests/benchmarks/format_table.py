"""What has been checked of each format, in and out: a Markdown table made from the tests' results.

    python tests/benchmarks/format_table.py [-o FOLDER] [--packages FOLDER ...] [--measured FOLDER]

runs the tests named below once, opens the real samples of ``../shared/data``, and prints one row
per format and exporter of the registries.  A number is how many tests passed (or real images were
read); "-" is what nothing checks.  Below stands why something was skipped or is not checked.  With
``-o`` it measures the opening of large folders and the exports too and writes ``formats.md``.
``--packages`` names folders of packages that readers outside of the tests' extra are installed in;
what both have is taken from the running Python.  ``--measured`` names a folder with what the two
benchmarks printed on a quiet machine, ``bench_opening.txt`` and ``bench_export.txt``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

REAL_IMAGES = 25
"""At most so many targets of a real sample are read."""

BAD_INPUT = ("tests/contracts/test_bad_input.py", "tests/contracts/test_bad_annotations.py")
FORMAT_TESTS = "tests/contracts/test_formats.py"
EXPORT_TESTS = "tests/contracts/test_exporters.py"
OTHER_READERS = "tests/contracts/test_other_readers.py"
UNIT = "tests/unit/exporters"
REAL = "tests/unit/datasets/test_format_real_samples.py"

ROUND_TRIPS = {
    f"{UNIT}/test_other_layouts.py::test_in_out_in[NAME-": (
        "ade20k", "coco-stuff", "cvat-mask", "label-studio", "supervisely",
    ),
    f"{UNIT}/test_coco.py::test_in_out_in[coco-rle-coco-": ("coco", "coco-rle"),
    f"{UNIT}/test_coco.py::test_in_out_in[coco-panoptic-": ("coco-panoptic",),
    f"{UNIT}/test_cityscapes.py::test_in_out_in": ("cityscapes",),
    f"{UNIT}/test_labelme.py::test_in_out_in": ("labelme",),
    f"{UNIT}/test_voc.py::test_in_out_in": ("voc",),
    f"{UNIT}/test_png_exporters.py::test_an_export_opens_again_as_ground_truth[NAME-": (
        "index-png", "color-png", "geotiff", "corrected",
    ),
    f"{UNIT}/test_png_exporters.py::test_a_hugging_face_folder_opens_again": ("huggingface",),
    f"{UNIT}/test_other_layouts.py::test_mmseg_pairs_by_name": ("mmseg", "paired"),
}  # fmt: skip
"""Test, and which formats or exporters it sends out and in again; NAME is the format's name."""

_THEIRS = f"{OTHER_READERS}::test_others_see_the_same_classes[NAME-"
READERS = {
    f"{_THEIRS}pillow": (
        "Pillow", (
            "ade20k", "ade20k-full", "anomaly", "bdd100k", "camvid", "cityscapes", "coco-panoptic",
            "coco-stuff", "cvat-mask", "kitti", "loveda", "mapillary", "paired", "pascal-context",
            "rgb", "rgbd", "voc", "x-anylabeling",
        ),
    ),
    f"{_THEIRS}scipy": ("SciPy", ("coco-stuff-10k",)),
    f"{_THEIRS}pycocotools": ("pycocotools", ("coco",)),
    f"{_THEIRS}pyarrow": ("pyarrow", ("parquet",)),
    f"{OTHER_READERS}::test_torchvision_sees_the_same_cityscapes": (
        "torchvision", ("cityscapes",),
    ),
    f"{UNIT}/test_coco.py::test_pycocotools_": ("pycocotools", ("coco-rle",)),
    f"{UNIT}/test_regions.py::test_masks_are_those_of_pycocotools": ("pycocotools", ("coco-rle",)),
    f"{UNIT}/test_coco.py::test_panopticapis_rule": ("panopticapi's rule", ("coco-panoptic",)),
    f"{UNIT}/test_cityscapes.py::test_cityscapes_scripts_give": (
        "cityscapesScripts", ("cityscapes",),
    ),
    f"{UNIT}/test_third_party.py::test_train_ids_leave_as": ("cityscapesScripts", ("cityscapes",)),
    f"{UNIT}/test_third_party.py::test_rasterio_reads": ("rasterio", ("geotiff",)),
    f"{UNIT}/test_third_party.py::test_hugging_faces_datasets": ("datasets", ("huggingface",)),
    f"{UNIT}/test_third_party.py::test_label_studios_own": (
        "label-studio-sdk", ("label-studio",),
    ),
    f"{UNIT}/test_third_party.py::test_labelme_itself": ("labelme", ("labelme",)),
    f"{UNIT}/test_third_party.py::test_what_labelme_writes": ("labelme", ("labelme",)),
    f"{UNIT}/test_third_party.py::test_datumaro_which_cvat_reads_with_gives_the_label_maps[NAME-": (
        "datumaro", ("cvat-mask", "voc", "coco-rle", "coco-panoptic"),
    ),
    f"{UNIT}/test_voc.py::test_torchvision_opens_it": ("torchvision", ("voc",)),
    f"{UNIT}/test_png_exporters.py::test_colours_to_see": ("Pillow", ("color-png",)),
    f"{UNIT}/test_png_exporters.py::test_indices_and_source_ids": ("Pillow", ("index-png",)),
    f"{UNIT}/test_png_exporters.py::test_the_overlay_blends": ("Pillow", ("overlay-png",)),
    f"{UNIT}/test_other_layouts.py::test_ade20k_counts_from_one": ("Pillow", ("ade20k",)),
    f"{UNIT}/test_other_layouts.py::test_coco_stuffs_ids": ("Pillow", ("coco-stuff",)),
    f"{UNIT}/test_other_layouts.py::test_mmseg_pairs_by_name": ("Pillow", ("mmseg",)),
    f"{UNIT}/test_other_layouts.py::test_provenance": ("Pillow", ("corrected",)),
    f"{UNIT}/test_other_layouts.py::test_supervisely_bitmaps": ("Pillow", ("supervisely",)),
    f"{UNIT}/test_other_layouts.py::test_arrays": ("NumPy", ("numpy",)),
    f"{UNIT}/test_scores_csv.py::test_pandas_reads": ("pandas", ("scores-csv",)),
    f"{REAL}::test_every_class_has_as_many_pixels_as_the_files_say[voc-": ("Pillow", ("voc",)),
    f"{REAL}::test_every_class_has_as_many_pixels_as_the_files_say[ade20k-": (
        "Pillow", ("ade20k",),
    ),
    f"{REAL}::test_every_class_has_as_many_pixels_as_the_files_say[coco-": (
        "pycocotools", ("coco",),
    ),
    f"{REAL}::test_every_class_has_as_many_pixels_as_the_files_say[panoptic-": (
        "Pillow", ("coco-panoptic",),
    ),
}  # fmt: skip
"""Test, who reads in it what we write or reads beside us what we read, and of which formats."""

READ_BESIDE_US = (REAL, OTHER_READERS, f"{UNIT}/test_third_party.py::test_what_labelme_writes")
"""Beginnings of the tests in which others read what we open, not what we wrote."""


@dataclass(frozen=True, slots=True)
class Result:
    """One test: its id (file::name[parameters]), how it ended, and why it was skipped."""

    test: str
    outcome: str
    reason: str = ""


_PYTEST = "import sys; sys.path += sys.argv.pop(1).split('|'); import pytest; pytest.console_main()"
"""Packages of other readers stand behind our own on the path."""


def run_tests(packages: Sequence[Path]) -> list[Result]:
    """Run all tests of the table once and return how each ended."""
    chosen = {name.partition("::")[0] for name in (*ROUND_TRIPS, *READERS)}
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        command = [
            sys.executable, "-c", _PYTEST, "|".join(str(folder.resolve()) for folder in packages),
            "-q", "-p", "no:cacheprovider",
            f"--junitxml={report}", *BAD_INPUT, FORMAT_TESTS, EXPORT_TESTS, *sorted(chosen),
        ]  # fmt: skip
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if not report.is_file():
            raise SystemExit(done.stdout + done.stderr)
        cases = ElementTree.parse(report).getroot().iter("testcase")
        return [
            Result(
                f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}",
                next((child.tag for child in case if child.tag in OUTCOMES), "passed"),
                next((child.get("message", "") for child in case if child.tag == "skipped"), ""),
            )
            for case in cases
        ]


OUTCOMES = ("failure", "error", "skipped")


def cell(results: Iterable[Result]) -> str:
    """Return "3", "3, 1 skipped" or "3, 1 FAILED"; "-" for no test at all."""
    counts = Counter(result.outcome for result in results)
    bad = counts["failure"] + counts["error"]
    if not counts:
        return "-"
    parts = [str(counts["passed"])]
    parts += [f"{counts['skipped']} skipped"] if counts["skipped"] else []
    return ", ".join(parts + ([f"{bad} FAILED"] if bad else []))


def about(results: Iterable[Result], file: str, name: str) -> list[Result]:
    """Return the results of a file whose first parameter is the format or exporter."""
    pattern = re.compile(re.escape(file) + r"::\w+\[" + re.escape(name) + r"(?:-(.*))?\]")
    longer = tuple(other for other in all_names() if other.startswith(f"{name}-"))

    def belongs(test: str) -> bool:
        found = pattern.fullmatch(test)
        if found is None:
            return False
        return not any(f"[{other}]" in test or f"[{other}-" in test for other in longer)

    return [result for result in results if belongs(result.test)]


def all_names() -> list[str]:
    """Return the names of all formats and exporters."""
    from segstudio.datasets.base import FORMATS
    from segstudio.exporters.base import EXPORTERS

    return [*FORMATS.names(), *EXPORTERS.names()]


def round_trips(results: list[Result], name: str) -> list[Result]:
    """Return the tests that send a format out and read it in again."""
    found = []
    for beginning, names in ROUND_TRIPS.items():
        wanted = beginning.replace("NAME", name)
        if name in names:
            found += matching(results, wanted)
    return found


def readers(results: list[Result], name: str, files: Callable[[str], bool]) -> str:
    """Return who else reads a format, with the number of tests."""
    by_reader: dict[str, list[Result]] = {}
    for beginning, (reader, names) in READERS.items():
        if name in names and files(beginning):
            found = matching(results, beginning.replace("NAME", name))
            by_reader.setdefault(reader, []).extend(found)
    return "; ".join(f"{reader} {cell(found)}" for reader, found in by_reader.items()) or "-"


def matching(results: list[Result], beginning: str) -> list[Result]:
    """Return the tests whose id begins so; a rule without a test is a mistake in this file."""
    found = [result for result in results if result.test.startswith(beginning)]
    if not found:
        raise SystemExit(f"No test begins with {beginning}; correct the table's rules.")
    return found


def real_samples() -> dict[str, str]:
    """Open what lies in ``../shared/data`` and read it; return what was read, by format."""
    from segstudio.core.errors import SegStudioError
    from segstudio.datasets.opening import open_dataset

    found: dict[str, list[str]] = {}
    places = [SHARED / name for name in ("camvid", "voc", "ade20k", "coco", "panoptic")]
    for place in (path for path in (*places, SHARED / "ade20k" / "full") if path.is_dir()):
        try:
            dataset = open_dataset(place)
        except SegStudioError as error:
            found.setdefault(place.name, []).append(f"REFUSED: {error}")
            continue
        labelled = [sample for sample in dataset.samples if sample.target_path is not None]
        read = 0
        for sample in labelled[:REAL_IMAGES]:
            shape = dataset.read_image(sample).shape[:2]
            read += dataset.read_target(sample).shape == shape
        words = f"{read} read of {len(dataset)}"
        found.setdefault(dataset.format, []).append(words)
    return {name: "; ".join(words) for name, words in found.items()}


def reasons(results: list[Result]) -> list[str]:
    """Return why cells hold "skipped" or "-": one line for each reason."""
    lines = []
    skipped: dict[str, Counter[str]] = {}
    for result in results:
        if result.outcome == "skipped":
            name = result.test.partition("::")[2]
            named = [n for n in all_names() if f"[{n}]" in name or f"[{n}-" in name]
            of = max(named, key=len, default=name)
            skipped.setdefault(result.reason, Counter())[of] += 1
    for reason, names in skipped.items():
        listed = ", ".join(f"{name} ({count})" for name, count in names.items())
        lines.append(f"Skipped: {listed}: {reason}.")
    return [*lines, *NOTHING_TO_CHECK_WITH]


NOTHING_TO_CHECK_WITH = (
    "Real sample -: ../shared/data holds none of that format; the fixture follows the published "
    "layout.",
    "Round trip - of a format: no exporter writes it, since only its authors do (benchmarks), or "
    "it holds no masks (folder, video).",
    "Round trip - of an exporter: numpy, overlay-png and scores-csv are not made to be opened "
    "as a data set; their values are compared with the label maps by tests of their own.",
    "Third party -: no test lets another program read it; pixels are compared with what the "
    "fixture or the export was made of.  Pillow, SciPy, NumPy and pyarrow give stored values; the "
    "tests hold what these mean, as the format's authors publish it.",
)


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(results: list[Result], real: dict[str, str]) -> str:
    """Return both tables and the remarks below them."""
    from segstudio.datasets.base import FORMATS
    from segstudio.exporters.base import EXPORTERS

    titles = ("opened", "fixture", "real sample", "round trip", "third party", "bad input")
    opened = table(
        titles,
        (
            (
                name,
                cell(about(results, FORMAT_TESTS, name)),
                real.get(name, "-"),
                cell(round_trips(results, name)),
                readers(results, name, lambda test: test.startswith(READ_BESIDE_US)),
                cell([result for file in BAD_INPUT for result in about(results, file, name)]),
            )
            for name in FORMATS.names()
        ),
    )
    exported = table(
        ("exported", "contract", "round trip", "third party"),
        (
            (
                name,
                cell(about(results, EXPORT_TESTS, name)),
                cell(round_trips(results, name)),
                readers(results, name, lambda test: not test.startswith(READ_BESIDE_US)),
            )
            for name in EXPORTERS.names()
        ),
    )
    outcomes = Counter(result.outcome for result in results)
    counts = f"{len(results)} tests: {', '.join(f'{n} {o}' for o, n in outcomes.items())}."
    remarks = "\n".join(f"- {line}" for line in (*reasons(results), counts))
    return f"{opened}\n\n{exported}\n\n{remarks}\n"


_PAGE = """# Formats in and out: what is checked

Made on {date} by
`{command}`
(Python {python}, {cores} processors, {system}). A number is how many tests passed.

- **fixture**: a tiny data set that the tests lay out is recognised, opened and read ({formats}).
- **contract**: what every exporter has to do, from overwriting to naming losses ({exports}).
- **real sample**: published images that were opened and read.
- **round trip**: out and in again gives the same label map.
- **third party**: who else reads the same, pixel for pixel.
- **bad input**: damaged, hostile and odd files: one sentence each, the rest opens ({bad}).

`segstudio list formats` and `segstudio list exporters` say what each format is.

{tables}
## Opening 100,000 samples

`python tests/benchmarks/bench_opening.py`: the best of three, each in a fresh process; memory is
what the samples take, `os.walk` only lists the same files.

```text
{opening}```

## Exporting 1,000 label maps of CamVid's size

`python tests/benchmarks/bench_export.py`: beside the plain loops people write, in the same run.

```text
{export}```
"""


def measured(name: str, earlier: Path | None) -> str:
    """Return what a benchmark beside this file prints, and how busy the machine was before."""
    if earlier is not None:
        return (earlier / name).with_suffix(".txt").read_text(encoding="utf-8")
    load = os.getloadavg()[0]
    command = [sys.executable, str(Path(__file__).with_name(name))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return f"{done.stdout}\n(load average before: {load:.1f})\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables, or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="write formats.md into this folder")
    parser.add_argument("--packages", type=Path, nargs="+", default=[])
    parser.add_argument("--measured", type=Path, help="with what the benchmarks printed earlier")
    chosen = parser.parse_args(arguments)
    text = tables(run_tests(chosen.packages), real_samples())
    if chosen.output is None:
        print(text, end="")
        return
    words = ["-o", str(chosen.output)]
    words += ["--packages", "FOLDER"] * bool(chosen.packages)
    words += ["--measured", "FOLDER"] * bool(chosen.measured)
    page = _PAGE.format(
        date=datetime.date.today(),
        command=shlex.join(["python", "tests/benchmarks/format_table.py", *words]),
        python=platform.python_version(),
        cores=os.cpu_count(),
        system=platform.system(),
        formats=f"`{FORMAT_TESTS}`",
        exports=f"`{EXPORT_TESTS}`",
        bad=", ".join(f"`{name}`" for name in BAD_INPUT),
        tables=text,
        opening=measured("bench_opening.py", chosen.measured),
        export=measured("bench_export.py", chosen.measured),
    )
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "formats.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
