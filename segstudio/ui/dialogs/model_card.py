"""The card of one model: figures, what its authors say, and what it costs here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, QUrl
from PySide6.QtGui import (
    QDesktopServices,
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFrameFormat,
    QTextLength,
    QTextTable,
)
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from segstudio.inference.catalogue import ModelInfo
from segstudio.ui.icons import icon
from segstudio.ui.models import count_text, number, size_text
from segstudio.ui.models.catalogue import Fetching
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import label

__all__ = ["ModelCard", "costs_markdown"]

_FACT = re.compile(r"- \*\*(.+?):\*\* (.+)")
_LINK = re.compile(r"<(https?://[^>\s]+)>")


def costs_markdown(model: ModelInfo, costs: Mapping[str, Any] | None) -> str:
    """Return the part of a card on what a model costs on this machine.

    Parameters
    ----------
    model : ModelInfo
    costs : mapping or None
        As `segstudio.session.costs.known_costs`.
    """
    lines = ["## Cost on this machine", ""]
    if costs is None:
        command = f"`segstudio bench models -m {_quoted(model.name)}`"
        first = "" if model.on_disk else " once it is downloaded"
        return "\n".join([*lines, f"Not measured yet. {command} measures it{first}.", ""])
    height, width = costs["size"]
    where = f"{costs['device']}, {costs['precision']}, an image of {height} x {width}"
    rows = [
        ("Measured", f"{str(costs.get('measured', ''))[:10]} on {where}"),
        ("Images per second", f"{costs['images_per_second']:.2f}"),
        ("Time of one pass", f"{1e3 / costs['passes_per_second']:.0f} ms"),
        ("Operations", _scaled(costs["operations"], 1e9, "GFLOPs")),
        ("Peak memory", _scaled(costs["peak_memory"], 1e6, "MB")),
    ]
    return "\n".join([*lines, *(f"- **{name}:** {value}" for name, value in rows), ""])


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _scaled(value: float | None, unit: float, words: str) -> str:
    return "not known" if value is None else f"{value / unit:,.1f} {words}".replace(",", "\u202f")


class _Document(QTextBrowser):
    """Text that loads nothing, neither pictures nor pages."""

    def loadResource(self, kind: int, name: QUrl | str) -> Any:
        """Return nothing: a card may come from anywhere."""
        return None


class _Figure(QWidget):
    """A number and, below it, what it is."""

    def __init__(self, caption: str) -> None:
        super().__init__()
        self.value = QLabel()
        self.value.setProperty("heading", "true")
        self.caption = label(caption, style="muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.value)
        layout.addWidget(self.caption)


class ModelCard(QWidget):
    """What is known of one model, and how its download goes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: ModelInfo | None = None
        self._costs: Mapping[str, Any] | None = None
        self._waiting = ""
        self._keep_place = False
        self.title = label(style="heading")
        self.title.setWordWrap(True)
        self.title.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._subtitle = label(style="muted")
        self._subtitle.setWordWrap(True)
        self.figures = {
            "miou": _Figure("mIoU %"),
            "miou_ms": _Figure("multi-scale, flip"),
            "parameters": _Figure("parameters"),
            "size": _Figure("file"),
        }
        self.text = _Document()
        self.text.setOpenLinks(False)
        self.text.anchorClicked.connect(self._on_link)
        self.text.setObjectName("card")
        self.text.setAccessibleName("Model card")
        self.text.document().setDocumentMargin(0)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self._write)
        self._bar = QProgressBar()
        self._bar.setRange(0, 1000)
        self._bar.setTextVisible(False)
        self.progress = label(style="muted")
        self._warning = QLabel()
        self._warning.setFixedWidth(18)
        self.error = QLabel()
        self.error.setWordWrap(True)
        self.error.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._arrange()
        self.show_model(None, "")

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(2 * GRID)
        for figure in self.figures.values():
            row.addWidget(figure)
        row.addStretch(1)
        self._numbers = QWidget()
        self._numbers.setLayout(row)
        row.setContentsMargins(0, 0, 0, 0)
        problem = QHBoxLayout()
        problem.setContentsMargins(0, 0, 0, 0)
        problem.setSpacing(GRID)
        problem.addWidget(self._warning, 0, Qt.AlignmentFlag.AlignTop)
        problem.addWidget(self.error, 1)
        self._problem = QWidget()
        self._problem.setLayout(problem)
        self._fetching = QWidget()
        fetching = QVBoxLayout(self._fetching)
        fetching.setContentsMargins(0, 0, 0, 0)
        fetching.setSpacing(GRID // 2)
        fetching.addWidget(self._bar)
        fetching.addWidget(self.progress)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2 * GRID)
        head = QVBoxLayout()
        head.setSpacing(GRID // 2)
        head.addWidget(self.title)
        head.addWidget(self._subtitle)
        layout.addLayout(head)
        layout.addWidget(self._numbers)
        layout.addWidget(self.text, 1)
        layout.addWidget(self._fetching)
        layout.addWidget(self._problem)
        for widget in (self._numbers, self._fetching, self._problem):
            widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    def show_model(self, model: ModelInfo | None, network: str, *, waiting: str = "") -> None:
        """Show a model, None for none; ``waiting`` stands where its card is not known yet."""
        same = model is not None and self._model is not None and model.name == self._model.name
        if same and model == self._model and waiting == self._waiting:
            return
        self._model = model
        if not same:
            self._costs = None
        self._numbers.setVisible(model is not None)
        if model is None:
            self.title.setText("")
            self._subtitle.setText("")
            self.text.clear()
            self.set_fetching(None)
            return
        self.title.setText(model.title)
        dataset = model.dataset or model.label_space
        self._subtitle.setText("  ·  ".join(part for part in (network, dataset) if part))
        score = model.measured_miou if model.published_miou is None else model.published_miou
        for key, value in (
            ("miou", number(_percent(score))),
            ("miou_ms", number(_percent(model.published_miou_ms))),
            ("parameters", count_text(model.parameters)),
            ("size", size_text(model.size)),
        ):
            self.figures[key].value.setText(value)
        # Nobody publishes scores of a user's file, nor of an embedded one over several scales.
        self.figures["miou"].setVisible(bool(model.source) or score is not None)
        self.figures["miou_ms"].setVisible(model.published_miou is not None)
        self._waiting = waiting
        self._write_soon(keep_place=same)

    def set_costs(self, costs: Mapping[str, Any] | None) -> None:
        """Add what the model was measured to cost here."""
        if costs != self._costs:
            self._costs = costs
            self._write_soon(keep_place=True)

    def set_fetching(self, fetching: Fetching | None) -> None:
        """Show how the model's download goes, or why it failed."""
        active = fetching is not None and fetching.active
        error = "" if fetching is None else fetching.error
        self._fetching.setVisible(active)
        self._problem.setVisible(bool(error))
        if fetching is not None and active:
            self._bar.setValue(round(1000 * fetching.share))
            self.progress.setText(fetching.words)
        if error and error != self.error.text():
            self.error.setText(error)
        self._warning.setPixmap(icon("error", role="bad").pixmap(QSize(18, 18)))

    def changeEvent(self, event: QEvent) -> None:
        """Write the card again in the theme's colours."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and getattr(self, "_model", None) is not None:
            self._write_soon(keep_place=True)

    def _write_soon(self, *, keep_place: bool) -> None:
        """Write the text once, however many things change before."""
        waiting = self._later.isActive()
        self._keep_place = keep_place and (self._keep_place or not waiting)
        self._later.start()

    def _write(self) -> None:
        model = self._model
        if model is None:
            return
        bar = self.text.verticalScrollBar()
        place = bar.value()
        card = _without_title(model.card) or self._waiting
        licence = ""
        if model.licence and model.licence not in card:
            licence = f"- **Licence:** {model.licence}\n"
        self.text.setMarkdown("")
        _fill(self.text.document(), f"{card}\n{licence}\n{costs_markdown(model, self._costs)}")
        self.text.moveCursor(QTextCursor.MoveOperation.Start)
        bar.setValue(place if self._keep_place else 0)

    def _on_link(self, url: QUrl) -> None:
        if url.scheme() in ("http", "https"):
            QDesktopServices.openUrl(url)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _without_title(card: str) -> str:
    """Return a card without the heading that stands above it already."""
    first, _, rest = card.lstrip().partition("\n")
    return rest.strip() if first.startswith("# ") else card.strip()


def _fill(document: QTextDocument, markdown: str) -> None:
    """Set a document to Markdown; lists of facts become tables of two columns."""
    features = QTextDocument.MarkdownFeature
    document.setMarkdown(
        _facts_as_tables(_LINK.sub(_short_link, markdown)),
        features.MarkdownDialectGitHub | features.MarkdownNoHTML,
    )
    whole = QTextCursor(document)
    whole.beginEditBlock()  # one layout at the end, not one for each change
    _style_headings(document)
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            _style_table(frame)
    whole.endEditBlock()


def _short_link(found: re.Match[str]) -> str:
    """Return a link that shows host and file only."""
    parts = found[1].split("/")
    shown = f"{parts[2]}/…/{parts[-1]}" if len(parts) > 4 else found[1]
    return f"[{shown}]({found[1]})"


def _facts_as_tables(markdown: str) -> str:
    lines: list[str] = []
    inside = False
    for line in markdown.splitlines():
        found = _FACT.fullmatch(line)
        if found is None:
            inside = False
            lines.append(line)
            continue
        if not inside:
            lines += ["", "| | |", "|---|---|"]
        inside = True
        lines.append(f"| {found[1]} | {found[2].replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _style_headings(document: QTextDocument) -> None:
    cursor = QTextCursor(document)
    block = document.begin()
    while block.isValid():
        cursor.setPosition(block.position())
        shape = QTextBlockFormat()
        shape.setLineHeight(125, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        if block.blockFormat().headingLevel():
            cursor.select(QTextCursor.SelectionType.BlockUnderCursor)
            style = QTextCharFormat()
            style.setFontWeight(QFont.Weight.DemiBold)
            style.setProperty(QTextCharFormat.Property.FontSizeAdjustment, 0)
            cursor.mergeCharFormat(style)
            shape.setTopMargin(2 * GRID)
            shape.setBottomMargin(GRID // 2)
            cursor.setPosition(block.position())
        cursor.mergeBlockFormat(shape)
        block = block.next()


def _style_table(table: QTextTable) -> None:
    """Give a table hairlines instead of boxes; one without a header loses that row."""
    style = table.format()
    style.setBorder(0)
    style.setCellPadding(3)
    style.setCellSpacing(0)
    style.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_None)
    facts = not any(
        table.cellAt(0, column).firstCursorPosition().block().text().strip()
        for column in range(table.columns())
    )
    if facts:
        style.setColumnWidthConstraints(
            [
                QTextLength(QTextLength.Type.FixedLength, 15 * GRID),
                QTextLength(QTextLength.Type.VariableLength, 0),
            ]
        )
    table.setFormat(style)
    if not facts:
        return
    table.removeRows(0, 1)
    muted = QTextCharFormat()
    muted.setForeground(theme().color("muted"))
    for row in range(table.rows()):
        cell = table.cellAt(row, 0)
        cursor = cell.firstCursorPosition()
        cursor.setPosition(cell.lastPosition(), QTextCursor.MoveMode.KeepAnchor)
        cursor.mergeCharFormat(muted)
