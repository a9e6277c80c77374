"""Structured pruning: which channels a model has, which of them go, and the model without them."""
