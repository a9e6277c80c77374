"""What each kind of layer does with channels: a function a kind, found in `table`."""
