"""Follow channels through a model, call by call."""
