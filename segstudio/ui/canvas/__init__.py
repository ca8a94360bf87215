"""The picture: photograph, overlays, view, pointer."""
