"""Make trained models smaller and faster, by what they can do without."""
