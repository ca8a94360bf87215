"""The seeds' recipe: data, augmentation, the resumable loop."""
