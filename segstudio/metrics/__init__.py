"""Scores from label maps: integer counts first, every number a pure function of them."""
