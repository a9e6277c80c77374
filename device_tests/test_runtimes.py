"""Does this device run models at all? Run it there: ``pytest device_tests``."""

import pytest

from edgekit.doctor import RUNTIMES, try_runtime
from edgekit.requirement import installed_version

INSTALLED = [name for name in RUNTIMES if installed_version(name) is not None]


def test_a_runtime_is_installed() -> None:
    assert INSTALLED, f"none of {', '.join(RUNTIMES)}; edgekit doctor tells how to add one"


@pytest.mark.parametrize("name", INSTALLED)
def test_an_installed_runtime_runs_a_model(name: str) -> None:
    check = try_runtime(name)
    assert check.works, check.reason
