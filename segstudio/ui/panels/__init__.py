"""Panels: dumb widgets with setters and ``*_requested`` signals."""
