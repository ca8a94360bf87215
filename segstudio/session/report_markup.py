"""Pieces of a report's page: escaped text, numbers, tables, footnotes, and the page around them.

Nothing here knows what is reported.  A page asks for no other file and no address; its policy
forbids every script but the one below, so that a name can do no harm even where it slipped through.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = [
    "MISSING",
    "Cell",
    "Column",
    "Notes",
    "Section",
    "bar_cell",
    "build_page",
    "build_table",
    "clean",
    "delta_cell",
    "difference",
    "escape",
    "facts",
    "interval",
    "number_cell",
    "percent",
    "text_cell",
]

MISSING = "–"
"""What stands for a number that does not exist."""


def clean(text: object) -> str:
    """Return text that UTF-8 and XML can hold: no control characters, no lone surrogates.

    A file's name may hold either.
    """
    known = str(text).encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if letter >= " " else " " for letter in known)


def escape(text: object) -> str:
    """Return cleaned text for HTML, inside and outside of attributes."""
    return html.escape(clean(text), quote=True)


def percent(value: float, digits: int = 1) -> str:
    """Return a share as a percentage without its sign, `MISSING` for NaN."""
    return MISSING if math.isnan(value) else f"{100 * value:.{digits}f}"


def difference(value: float, digits: int = 1) -> str:
    """Return a difference of shares in percentage points with its sign, `MISSING` for NaN."""
    if math.isnan(value):
        return MISSING
    text = f"{100 * value:+.{digits}f}"
    # What rounds to nothing has no direction.
    text = text[1:] if float(text) == 0 else text
    return text.replace("-", "−")


def interval(ends: tuple[float, float], digits: int = 1, *, signed: bool = False) -> str:
    """Return both ends of an interval, `MISSING` where one does not exist."""
    if any(math.isnan(end) for end in ends):
        return MISSING
    low, high = (difference(end, digits) if signed else percent(end, digits) for end in ends)
    return f"{low} to {high}"


class Column(NamedTuple):
    """A column's title, as HTML, and whether it holds numbers."""

    title: str
    is_number: bool = True


class Cell(NamedTuple):
    """A cell as HTML, and what its column is sorted by: NaN comes last."""

    content: str
    order: float | str


def text_cell(text: object, *, swatch: str = "") -> Cell:
    """Return a cell of text, behind a class's colour (``#rrggbb``) where one is given."""
    mark = f'<i class="swatch" style="background:{swatch}"></i>' if swatch else ""
    return Cell(f"{mark}{escape(text)}", clean(text).casefold())


def number_cell(value: float, text: str | None = None) -> Cell:
    """Return a cell of a number; without ``text`` it is a percentage."""
    return Cell(escape(percent(value) if text is None else text), float(value))


def bar_cell(value: float, ends: tuple[float, float]) -> Cell:
    """Return a bar from 0 to ``value`` with its interval as a whisker; all 0..1 or NaN."""
    if math.isnan(value):
        return Cell("", math.nan)
    parts = [f'<rect class="fill" x="0" y="3" width="{100 * value:.2f}" height="8"/>']
    parts += _whisker(*(100 * end for end in ends))
    return Cell(_bar("0 0 100 14", parts), value)


def delta_cell(value: float, ends: tuple[float, float], scale: float) -> Cell:
    """Return a bar from the middle to a difference; ``scale`` reaches the cell's end."""
    if math.isnan(value):
        return Cell("", math.nan)

    def place(number: float) -> float:
        return 50 + 50 * max(-1.0, min(1.0, number / scale))

    left, right = sorted((50.0, place(value)))
    kind = "gain" if value > 0 else "loss"
    parts = [
        f'<rect class="{kind}" x="{left:.2f}" y="3" width="{right - left:.2f}" height="8"/>',
        '<path class="zero" d="M50 0V14"/>',
    ]
    parts += _whisker(place(ends[0]), place(ends[1])) if not math.isnan(sum(ends)) else []
    return Cell(_bar("0 0 100 14", parts), value)


def _whisker(low: float, high: float) -> list[str]:
    if math.isnan(low) or math.isnan(high):
        return []
    return [f'<path class="whisker" d="M{low:.2f} 7H{high:.2f}M{low:.2f} 4V10M{high:.2f} 4V10"/>']


def _bar(box: str, parts: Iterable[str]) -> str:
    body = "".join(parts)
    return (
        f'<svg class="bar" viewBox="{box}" preserveAspectRatio="none" aria-hidden="true">'
        f"{body}</svg>"
    )


def build_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, is_sortable: bool = True
) -> str:
    """Return a table; a click on a title sorts it, where ``is_sortable``."""
    kind = ' class="sortable"' if is_sortable and len(rows) > 2 else ""
    head = "".join(
        f'<th scope="col"{_number_class(column)}>{column.title}</th>' for column in columns
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td{_number_class(column)}{_order(cell)}>{cell.content}</td>"
            for column, cell in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _number_class(column: Column) -> str:
    return ' class="n"' if column.is_number else ""


def _order(cell: Cell) -> str:
    if isinstance(cell.order, str):
        return f' data-v="{escape(cell.order)}"'
    return "" if math.isnan(cell.order) else f' data-v="{cell.order!r}"'


def facts(entries: Mapping[str, object]) -> str:
    """Return names and values as a list of definitions."""
    body = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries.items()
    )
    return f"<dl>{body}</dl>"


class Notes:
    """Footnotes, numbered as they are first pointed to.

    Parameters
    ----------
    texts : mapping of str to str
        What each term means.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._used: dict[str, int] = {}

    def mark(self, *terms: str) -> str:
        """Return the HTML that points to the notes on terms."""
        links = []
        for term in terms:
            self._texts[term]  # a term without a text is a mistake here, not an empty note
            number = self._used.setdefault(term, len(self._used) + 1)
            links.append(f'<a href="#note-{number}">{number}</a>')
        return f"<sup>{','.join(links)}</sup>"

    def render(self) -> str:
        """Return the list of the notes that were pointed to."""
        body = "\n".join(
            f'<li id="note-{number}"><b>{escape(term.replace("_", " "))}</b>: '
            f"{escape(self._texts[term])}</li>"
            for term, number in self._used.items()
        )
        return f'<ol class="notes">\n{body}\n</ol>'


class Section(NamedTuple):
    """A section of a page: anchor, heading as text, body as HTML.

    ``link`` is what the page's list of contents calls it, where that is not the heading; the list
    leaves out sections whose ``link`` is empty.
    """

    anchor: str
    heading: str
    content: str
    link: str | None = None


def build_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Return a whole page.

    Parameters
    ----------
    title, subtitle : str
        Text.
    sections : sequence of Section
    """
    links = "".join(
        f'<a href="#{section.anchor}">{escape(section.link or section.heading)}</a>'
        for section in sections
        if section.link != ""
    )
    body = "\n".join(
        f'<section id="{section.anchor}">\n<h2>{escape(section.heading)}</h2>\n'
        f"{section.content}\n</section>"
        for section in sections
    )
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="muted">{escape(subtitle)}</p>
<nav>{links}</nav>
</header>
<main>
{body}
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


_LIGHT = (
    "--ink:#1c2126;--muted:#5b6570;--paper:#fff;--panel:#f5f7f9;--line:#d9dfe5;"
    "--accent:#2f74b5;--fill:#7fb0dc;--gain:#3f9c72;--loss:#cf6a45"
)
_DARK = (
    "--ink:#e4e8ec;--muted:#9aa5b1;--paper:#15181c;--panel:#1e2328;--line:#343b43;"
    "--accent:#7db4e6;--fill:#3d78ad;--gain:#3f9c72;--loss:#c4653f"
)

_STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif }}
header, main {{ max-width: 1180px; margin: 0 auto; padding: 0 28px }}
header {{ padding-top: 34px }}
h1 {{ font-size: 27px; line-height: 1.25; margin: 0; overflow-wrap: anywhere }}
h2 {{ font-size: 20px; margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--line);
  overflow-wrap: anywhere }}
h3 {{ font-size: 15.5px; margin: 28px 0 8px; overflow-wrap: anywhere }}
p {{ margin: 6px 0 10px; max-width: 82ch }}
a {{ color: var(--accent); text-decoration: none }}
a:hover {{ text-decoration: underline }}
nav {{ display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 14px }}
sup {{ font-size: 10px; line-height: 0; margin-left: 2px; font-weight: 400 }}
.muted, figcaption {{ color: var(--muted) }}
.wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }}
th, td {{ padding: 4px 14px 4px 0; text-align: left; vertical-align: middle;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere }}
th {{ color: var(--muted); font-weight: 500; font-size: 13px; vertical-align: bottom }}
td:first-child {{ min-width: 120px; max-width: 340px }}
.n {{ text-align: right; white-space: nowrap; padding-left: 10px; overflow-wrap: normal }}
td.sure {{ font-weight: 650 }}
.sortable th {{ cursor: pointer }}
.sortable th:hover {{ color: var(--ink) }}
th[aria-sort=ascending]::after {{ content: " ↑" }}
th[aria-sort=descending]::after {{ content: " ↓" }}
.swatch {{ display: inline-block; width: 13px; height: 13px; margin-right: 8px; border-radius: 2px;
  border: 1px solid var(--line); vertical-align: -1.5px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact }}
svg.bar {{ display: block; width: 190px; height: 14px; background: var(--panel) }}
.bar .fill {{ fill: var(--fill) }} .bar .gain {{ fill: var(--gain) }}
.bar .loss {{ fill: var(--loss) }}
.bar .whisker, .bar .zero {{ fill: none; stroke: var(--ink); stroke-width: 1.2;
  vector-effect: non-scaling-stroke }}
.bar .zero {{ stroke: var(--muted) }}
.wide + .wide, .wide + p, .wide + .beside, p + .plots {{ margin-top: 18px }}
.n + td:not(.n), .n + th:not(.n) {{ padding-left: 14px }}
.part {{ padding-left: 16px; color: var(--muted) }}
.beside {{ display: flex; flex-wrap: wrap; gap: 18px 28px; align-items: flex-start }}
.beside > :nth-child(n) {{ max-width: 100%; margin-top: 0 }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 2px 22px; margin: 8px 0 }}
dt {{ color: var(--muted) }} dd {{ margin: 0; overflow-wrap: anywhere }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr));
  gap: 22px 34px; align-items: start }}
figure {{ margin: 0; min-width: 0 }}
figcaption {{ font-size: 13px; overflow-wrap: anywhere; margin-bottom: 4px }}
figcaption b {{ color: var(--ink); font-weight: 600 }}
svg.plot {{ display: block; max-width: 100%; height: auto; color: var(--ink) }}
.wide svg.plot {{ max-width: none }}
.row {{ margin: 0 0 18px; break-inside: avoid }}
.panels {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px }}
.panels img {{ display: block; width: 100%; height: auto; background: var(--panel) }}
.panels img.flat {{ image-rendering: pixelated }}
.panels.head {{ color: var(--muted); font-size: 13px; margin-bottom: 4px }}
.legend {{ display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13px; margin: 6px 0 14px }}
.notes {{ font-size: 13px; color: var(--muted); padding-left: 26px; max-width: 100ch }}
.notes b {{ color: var(--ink); font-weight: 600 }}
.notes li:target {{ background: var(--panel) }}
main {{ padding-bottom: 70px }}
@media print {{
  :root {{ color-scheme: light; {_LIGHT} }}
  body {{ font-size: 10.5pt }} header, main {{ max-width: none; padding: 0 }}
  nav {{ display: none }}
  table {{ font-size: 8.5pt }} tr, figure, .row {{ break-inside: avoid }}
  h2, h3 {{ break-after: avoid }} .wide {{ overflow: visible }}
  .wide svg.plot {{ max-width: 100% }}
  svg, img {{ print-color-adjust: exact; -webkit-print-color-adjust: exact }}
}}
"""

_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => title.addEventListener("click", event => {
    if (event.target.closest("a")) return;
    const body = table.tBodies[0];
    const isNumber = title.classList.contains("n");
    const first = isNumber ? "descending" : "ascending";
    const second = isNumber ? "ascending" : "descending";
    const order = title.getAttribute("aria-sort") === first ? second : first;
    titles.forEach(other => other.removeAttribute("aria-sort"));
    title.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const value = row => row.cells[column].dataset.v;
    [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return sign * (isNumber ? x - y : x.localeCompare(y));
    }).forEach(row => body.append(row));
  }));
}
"""
