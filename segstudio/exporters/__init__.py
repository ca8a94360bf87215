"""Label maps out of SegStudio, in forms that other programs read."""
