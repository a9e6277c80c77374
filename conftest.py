"""Tests that import a framework or convert a model run after the quick ones, in their order.

How long an example takes, or to make one, is no fault: a machine that tests may be busy.
"""

import importlib.util

import pytest


def pytest_configure() -> None:
    if importlib.util.find_spec("hypothesis") is None:  # the device tests do without
        return
    from hypothesis import HealthCheck, settings

    slow = [HealthCheck.too_slow]
    settings.register_profile("edgekit", deadline=None, suppress_health_check=slow)
    settings.load_profile("edgekit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


collect_ignore = [
    "converters/tests/tfmot_twins.py"
]  # run by a test, with Keras 2, in a process of its own
