"""What `pruning.py` prunes, how it measures, and the page it writes."""
