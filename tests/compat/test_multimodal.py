"""mmpretrain beside a transformers that lacks what its multimodal models import."""

import sys

import pytest
from mmpretrain.utils import dependency

from leopart_mm.compat.multimodal import NEEDED, _close_gate, has_names_for_multimodal


@pytest.fixture
def transformers(monkeypatch, tmp_path):
    """Write a package of this name before all others; returns its folder."""
    for name in [name for name in sys.modules if name.split('.')[0] == 'transformers']:
        monkeypatch.delitem(sys.modules, name)
    folder = tmp_path / 'transformers'
    folder.mkdir()
    (folder / '__init__.py').write_text('raise AssertionError("it is not imported")')
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.mark.parametrize(('content', 'is_open'), [(f'def {NEEDED}(): ...', True), ('def other(): ...', False),
                                                  (None, False)])
def test_multimodal_models_are_left_out_where_their_names_are_missing(content, is_open, transformers, monkeypatch):
    if content is not None:
        (transformers / 'modeling_utils.py').write_text(content)
    assert has_names_for_multimodal() == is_open
    for installed in (True, False):
        monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', installed)
        _close_gate()
        assert (installed and is_open) == dependency.WITH_MULTIMODAL
