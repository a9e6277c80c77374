"""Measure models: latency and memory, with their uncertainty."""
