"""Refiners: probabilities in, better probabilities out; one module per method, see `base`."""
