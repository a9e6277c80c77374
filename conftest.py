"""Tests that import a framework or convert a model run after the quick ones, in their order.

How long an example takes, or to make one, is no fault: a machine that tests may be busy.
"""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("edgekit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgekit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


collect_ignore = [
    "converters/tests/tfmot_twins.py"
]  # run by a test, with Keras 2, in a process of its own
