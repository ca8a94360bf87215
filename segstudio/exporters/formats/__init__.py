"""One module per export format; see `segstudio.exporters.base`."""
