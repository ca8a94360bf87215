"""Folders of images and their ground truth: formats, opening, reading."""
