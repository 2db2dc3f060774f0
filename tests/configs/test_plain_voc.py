"""Every config on VOC runs on the data set as it is downloaded, without its extension, by the same two options."""

import re

import pytest

from leopart_mm.engine.config import load_config
from tests.paths import REPO

EXTENSION = re.compile(r"'[^']*(?:trainaug|SegmentationClassAug)[^']*'")
CONFIGS = sorted(path for folder in ('leopart', 'neco') for path in (REPO / 'configs' / folder).rglob('*.py')
                 if '_base_' not in path.parts and 'voc' in path.stem)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.relative_to(REPO / 'configs').as_posix())
def test_options_replace_the_extension(path):
    config = load_config(path)
    if not EXTENSION.search(config.pretty_text):
        return
    options = {'train_split': 'train'}
    if 'train_masks' in config:
        options['train_masks'] = 'SegmentationClass'
    text = load_config(path, options).pretty_text
    assert not EXTENSION.search(text)
    assert "'train'" in text or 'Segmentation/train.txt' in text


def test_readme_commands_name_the_options():
    readme = (REPO / 'README.md').read_text()
    for config in ('retrieval/vits14_voc_frac-128.py', 'decoders/upernet_vits16_voc.py'):
        block = readme[readme.index(config):][:700]
        assert '`train_split=train train_masks=SegmentationClass`' in ' '.join(block.split())
