"""The demo's pictures: street scenes rendered by code, and photographs of something else."""
