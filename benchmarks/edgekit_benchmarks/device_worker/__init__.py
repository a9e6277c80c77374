"""Measures on the device, where there is Python 3.9, NumPy and a runtime, and nothing of edgekit.

    python3 worker.pyz agent      answers requests, one JSON line each, until its input ends
    python3 worker.pyz measure    one measurement in a fresh process; the agent starts these

    $ echo '{"id": 1, "do": "facts"}' | python3 worker.pyz agent
    {"id": 1, "ok": {"model": "Raspberry Pi 4 Model B Rev 1.4", "cpu": "ARM Cortex-A72", ...}}

This folder is the worker: run here as it stands, sent elsewhere as one file (see
`edgekit_benchmarks.worker_file`). Nothing in it imports from outside of it, but the standard
library, and where it measures NumPy and a runtime; hence what Python 3.9 lacks is not used.
Nothing is left on the device: neither processes nor files, however the agent ends.
"""
