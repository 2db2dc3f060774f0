import cv2
import numpy as np
import pytest
import torch

from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.masks import MaskInputs
from leopart_mm.masks.attention import attention_foreground
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.postprocessors import AttentionMasks, MaskFiles
from leopart_mm.models.postprocessors.mask_sources import mask_inputs
from leopart_mm.registry import MODELS
from tests.clustering.foreground_reference import cluster_precisions, published_threshold
from tests.models.postprocessors.scenes import CBFE, CLUSTERING, COMMUNITIES, Scenes, part_map, scene_batch, segmentor


def parts_stream(indices=range(12), **kwargs):
    """A batch with labels, as a stage is fitted on."""
    batch = scene_batch(list(indices), **kwargs)
    return [labelled(batch, torch.stack([part_map(index) for index in indices])[None])]


def labelled(batch, labels, num_labels=7):
    batch.predictions = dict(head=Prediction(labels, batch.extents, num_labels))
    return batch


def apply(stage, batch):
    """The labels that a fitted stage gives."""
    return stage(batch.prediction, batch).labels


def resized(maps):
    return upsample_labels(maps, (100, 100), rule='corner')


def test_precisions_are_those_of_the_resized_maps():
    stage, stream = MODELS.build(CBFE), parts_stream()
    stage.fit(stream)
    batch = stream[0]
    masks = attention_foreground(batch.features.cls_attention.mean(1).view(-1, 1, 8, 8), 0.8)[:, 0]
    expected = cluster_precisions(resized(batch.prediction.labels[0]), resized(masks), 7)
    torch.testing.assert_close(stage.precisions[0, 0], expected)
    assert stage.thresholds[0] == pytest.approx(float(resized(masks).mean()))
    assert torch.equal(apply(stage, batch)[0] > 0, batch.prediction.labels[0] > 0)


def test_published_threshold_looks_at_ground_truth():
    stage, stream = MODELS.build(dict(CBFE, threshold='published', cuts=(0., 1.))), parts_stream()
    stage.fit(stream)
    batch = stream[0]
    gt = torch.cat([sample.gt_sem_seg.data for sample in batch.data_samples])
    expected = published_threshold(stage.precisions[0, 0], resized(batch.prediction.labels[0]), resized(gt), 0., 1.)
    assert stage.thresholds[0] == pytest.approx(expected)
    blind = parts_stream(truth=False)
    with pytest.raises(ValueError, match=r'scene_0: .*LoadAnnotations'):
        MODELS.build(dict(CBFE, threshold='published')).fit(blind)
    MODELS.build(CBFE).fit(blind)  # the default sees no label


def test_published_threshold_of_one_split_only():
    stage = MODELS.build(dict(CBFE, threshold='published', threshold_split='nowhere', cuts=(0., 1.)))
    with pytest.raises(ValueError, match="split 'nowhere'"):
        stage.fit(parts_stream())


def test_splits_use_their_own_precisions():
    stage = MODELS.build(dict(CBFE, per_split=True))
    stage.fit(parts_stream())
    assert stage.info['groups'] == ['', 'train', 'val']
    odd = parts_stream(range(1, 12, 2))
    alone = MODELS.build(CBFE)
    alone.fit(odd)
    torch.testing.assert_close(stage.precisions[1], alone.precisions[0])
    stage.precisions[1] = 0  # now nothing of train is foreground
    batch = parts_stream()[0]
    masks = apply(stage, batch)
    assert not masks[0, 1::2].any()
    assert masks[0, ::2].any()


def test_a_number_as_threshold():
    stage = MODELS.build(dict(CBFE, threshold=0.5))
    stage.fit(parts_stream())
    assert stage.thresholds.tolist() == [0.5]
    stage = MODELS.build(dict(CBFE, threshold=1.))
    stream = parts_stream()
    stream[0].prediction.labels.zero_()
    with pytest.raises(ValueError, match=r'no cluster reaches the precision 1\.000'):
        stage.fit(stream)


@pytest.mark.parametrize('options', [dict(threshold='guess'), dict(threshold=1.5), dict(cuts=(0.7, 0.6))])
def test_unknown_rules_are_refused(options):
    with pytest.raises(ValueError, match='CBFE'):
        MODELS.build(dict(CBFE, **options))


def test_masks_without_foreground_are_an_error(tmp_path):
    for index in range(12):
        cv2.imwrite(str(tmp_path / f'scene_{index}.png'), np.zeros((16, 16), np.uint8))
    stage = MODELS.build(dict(CBFE, masks=dict(type='leopart_mm.MaskFiles', folder=str(tmp_path))))
    with pytest.raises(ValueError, match='masks of all 12 images are empty'):
        stage.fit(parts_stream())


def test_saved_masks_read_back(tmp_path):
    batch = scene_batch([0, 1])
    inputs = mask_inputs(batch)
    masks = AttentionMasks(mass=0.8, save_dir=str(tmp_path))(inputs)
    assert masks.any()
    assert torch.equal(MaskFiles(str(tmp_path))(inputs), masks)
    (tmp_path / 'scene_1.png').unlink()
    with pytest.raises(FileNotFoundError, match='scene_1'):
        MaskFiles(str(tmp_path))(inputs)


def test_masks_of_another_backbone():
    backbone = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224',
                    model_kwargs=dict(img_size=32, patch_size=4, embed_dim=24, depth=1, num_heads=2))
    stage = MODELS.build(dict(CBFE, masks=dict(type='leopart_mm.AttentionMasks', backbone=backbone)))
    (network, asked), = stage.requests(fitting=True).networks
    assert asked == Requests(attention=True)
    stream = parts_stream()
    with pytest.raises(ValueError, match='no features of the other backbone'):
        stage.fit(stream)
    stream[0].others = {network: network(torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0)), asked)}
    stage.fit(stream)
    expected = AttentionMasks(0.65)(MaskInputs([''] * 12, (8, 8), stream[0].extents,
                                               attention=stream[0].others[network].cls_attention))
    assert torch.equal(stage.noisy_masks(stream[0], (8, 8)), expected)
    assert stage.requests() == Requests()
    assert not [key for key in stage.state_dict() if 'backbone' in key]  # the checkpoint does not grow


def test_background_has_the_last_id():
    model = segmentor(CBFE, CLUSTERING)
    model.fit(Scenes())
    batch = scene_batch([4, 5])
    labels = model.run_stages(batch).labels[0]
    parts = torch.stack([part_map(4), part_map(5)])
    assert (labels[parts == 0] == 6).all()
    assert (labels[parts > 0] < 6).all()
    assert model.num_labels == 7
    empty = Prediction(torch.zeros(1, 2, 8, 8, dtype=torch.long), batch.extents, 2)
    assert (model.postprocessors['clusters'](empty, batch).labels == 6).all()


def test_foreground_clustering_needs_foreground():
    stage = MODELS.build(CLUSTERING)
    stream = parts_stream()
    stream[0].prediction.labels.zero_()
    stream[0].features.reduced = stream[0].features.maps[0]
    with pytest.raises(ValueError, match='none of the 12 images has any foreground'):
        stage.fit(stream)
    stream[0].prediction.labels[0, 0, 0, 0] = 1
    with pytest.raises(ValueError, match='cannot make 200 clusters'):
        MODELS.build(dict(CLUSTERING, num_clusters=200, map_size=None)).fit(stream)


def test_no_edge_above_the_threshold():
    with pytest.raises(ValueError, match=r'largest weight is .*Lower weight_threshold'):
        MODELS.build(dict(COMMUNITIES, weight_threshold=0.99)).fit(parts_stream())


def test_one_community():
    stage, stream = MODELS.build(dict(COMMUNITIES, weight_threshold=1e-6, markov_time=9., preferred_modules=1)), \
        parts_stream()
    stage.fit(stream)
    assert stage.num_labels == 2
    assert apply(stage, stream[0]).unique().tolist() == [1]


def test_more_ids_than_clusters_present_and_no_background():
    stage, stream = MODELS.build(dict(COMMUNITIES, preferred_modules=300)), parts_stream()
    labels = stream[0].prediction.labels
    labelled(stream[0], labels.masked_fill(labels == 0, 399), 400)
    stage.fit(stream)
    assert stage.communities.shape == (3, 400)
    assert stage.communities[:, 7:399].eq(0).all()  # ids that never occur are background
    labels = torch.ones(1, 2, 8, 8, dtype=torch.long)
    labels[..., 4:] = 2
    objects_only = labelled(scene_batch([0, 1]), labels, 400)
    stage.fit([objects_only])
    assert apply(stage, objects_only).min() == 1


@pytest.mark.parametrize('unconnected', ['background', 'nearest'])
def test_a_cluster_that_is_background_joins_nothing(unconnected):
    stream = parts_stream()
    plain = MODELS.build(dict(COMMUNITIES, weight_threshold=1e-6))
    plain.fit(stream)
    assert (plain.communities[:, 3] > 0).all()  # it touches others
    stage = MODELS.build(dict(COMMUNITIES, weight_threshold=1e-6, unconnected=unconnected, background_cluster=3))
    stage.fit(stream)
    assert (stage.communities[:, 3] == 0).all()
    assert not stage.matrix[:, 3].any()
    assert not stage.matrix[..., 3].any()
    others = torch.arange(stage.matrix.shape[-1]) != 3
    assert torch.equal(stage.matrix[:, others][..., others], plain.matrix[:, others][..., others])
    assert (stage.communities[:, others].amax(1) > 0).all()
    last = MODELS.build(dict(COMMUNITIES, weight_threshold=1e-6, background_cluster='last'))
    last.fit(stream)
    assert not last.matrix[:, -1].any()
    assert torch.equal(last.matrix[:, :-1, :-1], plain.matrix[:, :-1, :-1])
    wrong = MODELS.build(dict(COMMUNITIES, background_cluster=99))
    with pytest.raises(ValueError, match='background_cluster=99 does not exist: the maps before hold the clusters 0'):
        wrong.fit(stream)


def test_unconnected_clusters_can_join_the_nearest():
    stream = parts_stream()
    background, nearest = (MODELS.build(dict(COMMUNITIES, unconnected=rule)) for rule in ('background', 'nearest'))
    background.fit(stream)
    nearest.fit(stream)
    assert (background.communities[0] == 0).any()
    assert (nearest.communities[0] > 0).all()
    kept = background.communities > 0
    assert torch.equal(background.communities[kept], nearest.communities[kept])


@pytest.mark.parametrize('options', [dict(seeds=0), dict(weight_threshold=0.), dict(unconnected='x'),
                                     dict(distances=())])
def test_impossible_settings(options):
    with pytest.raises(ValueError, match='CommunityDetection'):
        MODELS.build(dict(COMMUNITIES, **options))
