"""The model index: paths, names, and no number that the config's header does not state too."""

import re

import pytest
import yaml
from modelindex.load_model_index import load

from tests.paths import REPO

METAFILES = [REPO / path for path in yaml.safe_load((REPO / 'model-index.yml').read_text())['Import']]


@pytest.mark.parametrize('file', METAFILES, ids=lambda file: file.parent.name)
def test_entries_are_configs_with_published_numbers(file):
    content = yaml.safe_load(file.read_text())
    collections = {one['Name'] for one in content['Collections']}
    names = [model['Name'] for model in content['Models']]
    assert len(names) == len(set(names))
    for model in content['Models']:
        config = REPO / model['Config']
        assert config.is_file(), model['Config']
        assert config.stem == model['Name']
        assert model['In Collection'] in collections
        for result in model.get('Results', []):
            assert {'Task', 'Dataset', 'Metrics', 'Source'} <= result.keys()
            for value in result['Metrics'].values():
                assert re.search(rf'\b{value}\b', config.read_text()), f'{config} does not state {value}'


def test_every_published_leopart_config_is_listed():
    folder = REPO / 'configs' / 'leopart'
    listed = {model['Config'] for model in yaml.safe_load((folder / 'metafile.yml').read_text())['Models']}
    published = [path for pattern in ('leopart_*', 'linear_*', 'fcn_*', 'fully_unsup_*', 'overcluster/*')
                 for path in folder.glob(f'{pattern}.py') if re.search('[Pp]ublished|paper|spec', path.read_text())]
    assert len(published) > 70
    missing = [str(path.relative_to(REPO)) for path in published if str(path.relative_to(REPO)) not in listed]
    assert not missing


def test_every_neco_config_is_listed():
    folder = REPO / 'configs' / 'neco'
    listed = {model['Config'] for model in yaml.safe_load((folder / 'metafile.yml').read_text())['Models']}
    found = {str(path.relative_to(REPO)) for path in folder.rglob('*.py')
             if '_base_' not in path.parts and 'folder' not in path.stem}
    assert found == listed


def test_mm_tools_read_the_index():
    index = load(str(REPO / 'model-index.yml'))
    index.build_models_with_collections()
    assert any(model.name == 'leopart_dino-vits16_in100' for model in index.models)
    assert [result.metrics for model in index.models if model.name == 'fcn_leopart-vitb8_voc'
            for result in model.results] == [{'mIoU': 76.3}]
