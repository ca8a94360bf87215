"""``segstudio bench engine``: what the engine is worth beside the plain way."""

from __future__ import annotations

from collections.abc import Sequence

from segstudio.cli.common import say

__all__ = ["bench_engine"]

_IMAGES = 24


def bench_engine(names: Sequence[str], size: tuple[int, int], device: str, *, json: bool) -> int:
    """Measure post-processing, and each model's network and folder run; print both sides.

    Raises
    ------
    SegStudioError
        When a model cannot be loaded.
    """
    from segstudio.cli.tables import format_table, print_json
    from segstudio.inference.engine_bench import Sides, bench_network, bench_post_processing
    from segstudio.session.engine_bench import bench_folder

    measured: list[tuple[str, Sides]] = []
    say("Measuring the post-processing ...")
    measured.append(("", bench_post_processing()))
    for name in names:
        say(f"Measuring {name} ...")
        measured.append((name, bench_network(name, size, device=device)))
        measured.append((name, bench_folder(name, _IMAGES, device=device)))
    if json:
        entries = [
            {
                "model": name or None,
                "work": sides.work,
                "plain_seconds": sides.plain,
                "seconds": sides.own,
                "ratio": sides.ratio,
                "how": sides.note,
            }
            for name, sides in measured
        ]
        print_json({"engine": entries})
        return 0
    rows = []
    for name, sides in measured:
        seconds = [f"{value:.3f}" for value in (sides.plain, sides.own)]
        rows.append([name or "-", sides.work, *seconds, f"{sides.ratio:.1f} x", sides.note])
    header = ["model", "work", "plain (s)", "here (s)", "faster", "how"]
    print(format_table(header, rows, right=(2, 3, 4)))
    print(
        "\nplain: PyTorch at fp32, one image after the other, every step on all of it; here: as a "
        "run does it."
    )
    return 0
