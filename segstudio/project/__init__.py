"""What is on disk beside a dataset: the layout of a project's folder and its SQLite store."""
