"""Fixtures of the whole suite."""

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture
def passes(monkeypatch):
    """How often each image went through the network, see `count_passes`."""
    from tests.counting import count_passes
    return count_passes(monkeypatch)


@pytest.fixture(autouse=True)
def _own_default_scope():
    """A Runner sets the default scope of the whole process: undo it, so that no test depends on the ones before it."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)
