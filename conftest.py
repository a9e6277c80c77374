"""Tests that import a framework or convert a model run after the quick ones, in their order."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


collect_ignore = [
    "converters/tests/tfmot_twins.py"
]  # run by a test, with Keras 2, in a process of its own
