"""Fixtures of the whole suite."""

import gc

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


@pytest.fixture(autouse=True, scope='module')
def quick_collections():
    """MMEngine's data sets collect garbage when they are built: seconds, over all that the modules before have left."""
    gc.collect()
    gc.freeze()  # later collections look only at what this module makes
