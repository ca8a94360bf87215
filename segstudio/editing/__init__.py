"""Painting without Qt: document, history, journal and tools."""
