"""Unstructured pruning and clusters: which weights are zero, or alike, and how they stay so."""
