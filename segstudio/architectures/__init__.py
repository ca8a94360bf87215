"""One self-sufficient page per architecture; see `segstudio.architectures.base`."""
