"""The model index: a row per published checkpoint and number, each with the config of its setting."""

import pytest
import yaml
from modelindex.load_model_index import load

from tests.paths import REPO

METAFILES = [REPO / path for path in yaml.safe_load((REPO / 'model-index.yml').read_text())['Import']]
NOT_PUBLISHED = {'fully_unsup/vits16_small'}  # beside the configs for folders of images


@pytest.mark.parametrize('file', METAFILES, ids=lambda file: file.parent.name)
def test_rows_are_whole(file):
    content = yaml.safe_load(file.read_text())
    collections = {collection['Name'] for collection in content['Collections']}
    names = [model['Name'] for model in content['Models']]
    assert len(names) == len(set(names))
    for model in content['Models']:
        assert (REPO / model['Config']).is_file(), model['Config']
        assert model['In Collection'] in collections
        trained = model['Name'] == (REPO / model['Config']).stem
        assert trained or model['Metadata']['Checkpoint'], f'{model["Name"]} says neither its training nor its weights'
        assert model.get('Weights', 'timm://').startswith('timm://')
        for result in model.get('Results', []):
            assert {'Task', 'Dataset', 'Metrics', 'Source'} == result.keys()
            assert all(0 <= value < 100 for value in result['Metrics'].values())


@pytest.mark.parametrize('file', METAFILES, ids=lambda file: file.parent.name)
def test_every_config_has_a_row(file):
    listed = {model['Config'] for path in METAFILES for model in yaml.safe_load(path.read_text())['Models']}
    found = {str(path.relative_to(REPO)) for path in file.parent.rglob('*.py')
             if '_base_' not in path.parts and 'folder' not in path.stem}
    assert {path for path in found - listed} == {
        f'configs/leopart/{name}.py' for name in NOT_PUBLISHED if file.parent.name == 'leopart'}


def test_mm_tools_read_the_index():
    index = load(str(REPO / 'model-index.yml'))
    index.build_models_with_collections()
    results = {model.name: [result.metrics for result in model.results or ()] for model in index.models}
    # the tables of the READMEs
    assert results['fcn_leopart-vitb8_voc'] == [{'mIoU': 76.3}]
    assert results['dino-vits16_voc_k21'] == [{'mIoU': 4.6}, {'mIoU': 4.5}]
    assert results['fully_unsup_vits16_voc'] == [{'mIoU': 41.7}, {'mIoU': 35.2}]
    assert results['overcluster_neco-dinov2r-xr-vits14_voc_k500'] == [{'mIoU': 72.6}]
    assert results['retrieval_neco-leopart-vits16_voc'] == [{'mIoU': 66.2}]
    assert results['leopart_dino-vits16_in100'] == []
