"""From an image to a `Prediction`: preprocessing, the network, and the fused last step."""
