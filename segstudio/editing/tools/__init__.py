"""One file per tool; see `segstudio.editing.tool`."""
