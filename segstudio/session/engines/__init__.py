"""Where the networks of a run compute: on this machine, or elsewhere behind the same interface."""
