"""The application without a window: runs, scores, corrections and settings in one place."""
