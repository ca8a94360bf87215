"""One module per dataset format; see `segstudio.datasets.base`."""
