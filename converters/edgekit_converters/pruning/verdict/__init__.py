"""What pruning changed: files of both models side by side."""
