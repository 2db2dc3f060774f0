"""Files that users wrote on top of the configs as they were."""

import pytest

from leopart_mm.engine.config import load_config
from leopart_mm.models.fitting.chain import StageChain
from tests.paths import REPO

CONFIGS = REPO / 'configs'


def load(folder, text, options=None):
    file = folder / 'mine.py'
    file.write_text(text.replace('CONFIGS', str(CONFIGS)))
    return load_config(file, options)


def test_a_base_is_found_under_its_old_name(tmp_path):
    mine = load(tmp_path, "_base_ = 'CONFIGS/leopart/overcluster/leopart-vits16-coco_voc_k500.py'\n"
                          'model = dict(decode_head=dict(seeds=2))', dict(data_root='/x'))
    ours = load_config(CONFIGS / 'leopart/overcluster/vits16_voc_k500.py', dict(data_root='/x'))
    assert mine.model.decode_head.pop('seeds') == 2
    assert ours.model.decode_head.pop('seeds') == 5
    assert mine.model == ours.model
    assert mine.test_dataloader == ours.test_dataloader
    assert mine.test_dataloader.dataset.data_root == '/x'


def test_stages_are_edited_by_number(tmp_path):
    stages = load(tmp_path, """
_base_ = 'CONFIGS/leopart/fully_unsup_vits16_small.py'
_stages = _base_.model.postprocessors
_stages[1].update(num_clusters=12)
_stages[2].update(weight_threshold=0.01)
model = dict(postprocessors=_stages)
""").model.postprocessors
    assert [stage.type for stage in stages] == [
        'leopart_mm.CBFE', 'leopart_mm.ForegroundClustering', 'leopart_mm.CommunityDetection']
    assert stages[1].num_clusters == 12
    assert (stages[2].weight_threshold, stages[2].markov_time, stages[2].seeds) == (0.01, 0.5, 10)


def test_stages_are_cut_off_by_number(tmp_path):
    stages = load(tmp_path, """
_base_ = 'CONFIGS/leopart/_base_/fully_unsup.py'
model = dict(postprocessors=_base_.model.postprocessors[:1])
""").model.postprocessors
    assert [stage.type for stage in stages] == ['leopart_mm.CBFE']


def test_a_list_of_stages_keeps_its_order_over_a_base_with_another(tmp_path):
    model = load(tmp_path, """
_base_ = 'CONFIGS/leopart/_base_/fully_unsup.py'
_clusters = dict(type='leopart_mm.ForegroundClustering', num_clusters=3)
model = dict(postprocessors=[_clusters, dict(type='leopart_mm.CBFE'), dict(type='leopart_mm.CommunityDetection')])
""").model
    assert model.stage_order == ['foreground', 'clusters', 'communities']
    assert list(StageChain(model.postprocessors, model.stage_order)) == ['clusters', 'foreground', 'communities']


def test_stages_stay_named_where_nobody_asks_for_numbers(tmp_path):
    stages = load(tmp_path, "_base_ = 'CONFIGS/leopart/fully_unsup_vits16_small.py'\n"
                            'model = dict(postprocessors=dict(clusters=dict(num_clusters=3)))').model.postprocessors
    assert list(stages) == ['foreground', 'clusters', 'communities']
    assert (stages.clusters.num_clusters, stages.communities.markov_time) == (3, 0.5)


@pytest.mark.parametrize('model', ['overcluster_r50', 'overcluster_vits16'])
def test_a_model_and_the_runtime_may_give_the_same_scorer(tmp_path, model):
    cfg = load(tmp_path, f"_base_ = ['CONFIGS/_base_/models/{model}.py', "
                         "'CONFIGS/_base_/datasets/voc_overcluster.py', 'CONFIGS/_base_/overcluster_runtime.py']")
    assert cfg.test_evaluator == dict(type='leopart_mm.ClusterMetric', matching='auto', eval_size=(100, 100))
    assert (cfg.test_cfg.type, cfg.default_scope) == ('leopart_mm.FitTestLoop', 'mmseg')


def test_bases_that_contradict_each_other_are_refused(tmp_path):
    (tmp_path / 'a.py').write_text('key = 1')
    (tmp_path / 'b.py').write_text('key = 2')
    with pytest.raises(KeyError, match='Duplicate key'):
        load(tmp_path, "_base_ = ['a.py', 'b.py']")


def test_a_fault_of_the_file_itself_is_said_as_it_is(tmp_path):
    with pytest.raises(AttributeError, match='trian_pipeline'):
        load(tmp_path, "_base_ = 'CONFIGS/leopart/fully_unsup_vits16_small.py'\nx = _base_.trian_pipeline")
    with pytest.raises(FileNotFoundError, match='never_existed'):
        load(tmp_path, "_base_ = 'CONFIGS/leopart/never_existed.py'")


def test_linear_on_dinov2_keeps_its_network():
    cfg = load_config(CONFIGS / '_base_/models/linear_densevit-s14.py')
    assert cfg.model.backbone.arch == 'vit_small_patch14_dinov2'
    assert cfg.model.data_preprocessor.test_cfg.size_divisor == 14
