"""The model files that `device_tests` runs on a device, and what they have to give."""
