"""Where a run of the folder, of the one file made of it, or with ``-m`` begins."""

import importlib
import sys
import types
from pathlib import Path

if __package__:
    own = Path(__file__).resolve().parent
else:  # run as a folder or file: make it a package, and let no module of it hide another's
    own = Path(sys.path.pop(0)).resolve()
    package = types.ModuleType("device_worker")
    package.__path__ = [str(own)]
    sys.modules["device_worker"] = package

importlib.import_module(f"{__package__ or 'device_worker'}.roles").main(str(own))
