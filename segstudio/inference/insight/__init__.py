"""Looking inside a network: attention, class embeddings, class probabilities, feature norms."""
