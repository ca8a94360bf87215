"""Qt-free painting: document, strokes, history, journal, tools."""
