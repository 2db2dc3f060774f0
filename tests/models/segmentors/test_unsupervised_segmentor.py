import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from torch import nn

import leopart_mm.models  # noqa: F401
from leopart_mm.geometry.patch_grid import upsample_labels
from leopart_mm.models.decode_heads import NotFittedError
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.models.postprocessors import BasePostprocessor
from leopart_mm.models.segmentors import UnsupervisedSegmentor
from leopart_mm.registry import MODELS


class Patches(nn.Module):
    """Mean colour of each 4x4 patch; a stand-in for a ViT."""

    patch_size = 4
    size_mode = 'pad'

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image):
        height, width = (-(-side // 4) * 4 for side in image.shape[-2:])
        image = nn.functional.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))
        return (nn.functional.avg_pool2d(image, 4) * self.scale, )


@MODELS.register_module(force=True)
class MergePairs(BasePostprocessor):
    """Labels 0, 1 -> 0; 2, 3 -> 1; remembers what it was fitted on."""

    num_labels = 2

    def __init__(self, asks=None):
        super().__init__()
        self.asks = asks or Requests()

    def requests(self, fitting=False, pictures=False):
        return self.asks

    def fit(self, stream):
        self.seen = [batch.prediction.labels.shape for _ in range(2) for batch in stream]

    def forward(self, prediction, batch):
        return prediction.with_labels(prediction.labels // 2, 2)


@MODELS.register_module(force=True)
class BrightOnly(BasePostprocessor):
    """At pixels: label 2 where the image is dark, and the scores or labels of the grid elsewhere."""

    level = 'pixel'
    background = 2
    num_labels = 3

    def requests(self, fitting=False, pictures=False):
        return Requests(images=True)

    def fit(self, stream):
        self.seen = [(batch.prediction.labels.shape, batch.inputs.shape, batch.names) for batch in stream]

    def forward(self, prediction, batch):
        assert prediction.grid == tuple(batch.inputs.shape[-2:])
        dark = batch.inputs.mean(1) < 1
        return prediction.with_labels(prediction.labels.masked_fill(dark, 2), 3)


def segmentor_config():
    head = dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=2, pca_dim=None, nredo=20, niter=10)
    return dict(backbone=Patches(), decode_head=head)


def segmentor(**kwargs):
    return UnsupervisedSegmentor(**dict(segmentor_config(), **kwargs)).eval()


def image():
    """(1, 3, 12, 16): quarters of 4 colours, split at row 8 and column 4."""
    colours = torch.tensor([[0., 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]])
    groups = torch.zeros(12, 16, dtype=torch.long)
    groups[8:] += 2
    groups[:, 4:] += 1
    return colours[groups].permute(2, 0, 1)[None], groups


def sample_of(**meta):
    return SegDataSample(metainfo=meta)


def fitted(**kwargs):
    model = segmentor(**kwargs)
    inputs, _ = image()
    model.fit([model.extract_batch(inputs, [sample_of(img_path='a.jpg')])])
    return model


def partition(labels):
    return (labels.flatten()[:, None] == labels.flatten()).int()


def test_fields_of_a_prediction():
    model = fitted()
    inputs, groups = image()
    sample, = model.predict(inputs, [sample_of(img_path='a.jpg', ori_shape=(24, 32), img_shape=(12, 16))])
    assert sample.pred_clusters.data.shape == (2, 3, 4)
    assert sample.pred_sem_seg.data.shape == (1, 24, 32)
    assert sample.metainfo['num_clusters'] == 4
    assert sample.metainfo['cluster_seeds'] == (0, 1)
    assert sample.metainfo['cluster_extent'] == (0, 3, 0, 4)
    large = groups.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(partition(sample.pred_sem_seg.data), partition(large))
    assert 'seg_logits' not in sample


def test_padding_of_batch_and_of_patches_is_removed():
    model = fitted()
    inputs, groups = image()
    padded = nn.functional.pad(inputs[..., :10, :13], (4, 7, 0, 6), value=50.)
    meta = dict(img_path='a.jpg', ori_shape=(10, 13), img_padding_size=(4, 7, 0, 6))
    sample, = model.predict(padded, [sample_of(**meta)])
    assert sample.pred_clusters.data.shape == (2, 3, 4)
    assert sample.metainfo['cluster_extent'] == (0, 2.5, 0, 3.25)
    # whole patches of the image: unspoilt by padding, and upsampled to the pixels they cover
    assert torch.equal(partition(sample.pred_sem_seg.data[0, :8, :12]), partition(groups[:8, :12]))
    expected = upsample_labels(sample.pred_clusters.data[:1], (10, 13), (0, 2.5, 0, 3.25))
    assert torch.equal(sample.pred_sem_seg.data, expected)


def test_without_samples_the_input_size_is_taken():
    sample, = fitted().predict(image()[0][..., :10])
    assert sample.pred_sem_seg.data.shape == (1, 12, 10)


def test_postprocessors_are_fitted_on_labels_before_them_and_applied():
    model = fitted(postprocessors=dict(pairs=dict(type='leopart_mm.MergePairs')))
    assert model.postprocessors['pairs'].seen == [(2, 1, 3, 4)] * 2
    sample, = model.predict(image()[0])
    assert sample.metainfo['num_clusters'] == 2
    assert sample.pred_sem_seg.data.max() == 1


def test_a_stage_at_pixels_gets_the_image_and_the_labels_at_its_size():
    """Also with padding, which neither the image nor the labels that it gets hold."""
    normalise = dict(type='mmseg.SegDataPreProcessor', mean=[1., 1, 1], std=[2., 2, 2], size_divisor=1)
    model = segmentor(data_preprocessor=normalise, postprocessors=dict(
        pairs=dict(type='leopart_mm.MergePairs'), bright=dict(type='leopart_mm.BrightOnly')))
    inputs, groups = image()
    inputs = (inputs - 1) / 2
    meta = dict(img_path='a.jpg', ori_shape=(24, 26), img_padding_size=(0, 3, 0, 0))
    stream = [model.extract_batch(inputs, [sample_of(**meta)])]
    model.fit(stream)
    assert model.postprocessors['bright'].seen == [((2, 1, 24, 26), (1, 3, 24, 26), ['a.jpg'])]
    sample, = model.predict(inputs, [sample_of(**meta)], pictures=True)
    large = groups[:, :13].repeat_interleave(2, 0).repeat_interleave(2, 1)
    labels = sample.pred_sem_seg.data[0]
    # The first colour is black; at its border the image is interpolated.
    assert (labels[:14, :7] == 2).all()
    pairs = upsample_labels(model.run_stages(stream[0]).labels[0, 0], (24, 26), (0, 3, 0, 3.25))
    assert torch.equal(labels[large > 0], pairs[large > 0])
    assert torch.equal(sample.pred_clusters.data[:1], sample.pred_sem_seg.data)
    assert sample.pred_clusters.data.shape == (2, 24, 26)
    assert sample.metainfo['cluster_extent'] == (0, 24, 0, 26)
    assert sample.metainfo['num_clusters'] == model.num_labels == 3
    assert list(sample.metainfo['stages']) == ['head', 'pairs', 'bright']
    drawn = sample.metainfo['stages']['bright']
    assert torch.equal(drawn['labels'], labels)
    assert (drawn['title'], drawn['num_labels'], drawn['background']) == ('bright', 3, 2)
    with pytest.raises(ValueError, match="'pairs' works on the patch grid, so it must come before 'bright'"):
        segmentor(postprocessors=dict(bright=dict(type='leopart_mm.BrightOnly'),
                                      pairs=dict(type='leopart_mm.MergePairs')))


def test_stages_for_pictures_hold_the_first_seed_without_padding():
    model = fitted(postprocessors=dict(pairs=dict(type='leopart_mm.MergePairs')))
    meta = dict(ori_shape=(10, 13), img_padding_size=(4, 3, 0, 2))
    sample, = model.predict(nn.functional.pad(image()[0], (4, 0, 0, 0))[..., :20], [sample_of(**meta)], pictures=True)
    stages = sample.metainfo['stages']
    assert list(stages) == ['head', 'pairs']
    assert torch.equal(stages['pairs']['labels'], stages['head']['labels'] // 2)
    assert torch.equal(stages['pairs']['labels'], sample.pred_clusters.data[0])
    assert stages['pairs']['extent'] == sample.metainfo['cluster_extent']
    assert (stages['head']['num_labels'], stages['pairs']['num_labels']) == (4, 2)
    assert 'stages' not in model.predict(image()[0])[0].metainfo


@pytest.mark.parametrize(('stages', 'message'), [
    ({'1': dict(seeds=3)}, "cannot be called '1': stages are set by name.*pairs"),
    (dict(head=dict(type='leopart_mm.MergePairs')), "cannot be called 'head'"),
    (dict(other=dict(seeds=3)), "'other' has no type: give one, or mean another of pairs"),
])
def test_stages_that_cannot_be_are_named(stages, message):
    with pytest.raises(ValueError, match=message):
        segmentor(postprocessors=dict(pairs=dict(type='leopart_mm.MergePairs'), **stages))


def test_stages_of_a_base_config_can_be_left_out_and_two_of_a_class_have_two_names():
    pairs = dict(type='leopart_mm.MergePairs')
    assert list(segmentor(postprocessors=dict(pairs=pairs, again=None)).postprocessors) == ['pairs']
    chain = segmentor(postprocessors=[pairs, pairs]).postprocessors
    assert list(chain) == ['mergepairs', 'mergepairs_2']
    assert list(chain.before('mergepairs_2')) == ['mergepairs']
    with pytest.raises(KeyError, match="no post-processor 'crf'; it has: mergepairs, mergepairs_2"):
        chain.before('crf')
    chain.stop_before('mergepairs_2')
    assert list(chain) == ['mergepairs']


class Trained(UnsupervisedSegmentor):
    """Prototypes that learn the colours of the classes, and predict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.prototypes = nn.Parameter(torch.zeros(4, 3))

    def loss(self, inputs, data_samples):
        maps, = self.extract_feat(inputs)
        labels = torch.cat([sample.gt_sem_seg.data for sample in data_samples])[:, ::4, ::4]
        logits = torch.einsum('kc,bchw->bkhw', self.prototypes, maps)
        return dict(loss=nn.functional.cross_entropy(logits, labels))


def test_a_subclass_can_be_trained_and_predicts():
    inputs, groups = image()
    model = Trained(**segmentor_config())
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05))
    data = dict(inputs=inputs, data_samples=[SegDataSample(gt_sem_seg=PixelData(data=groups[None]))])
    losses = [float(model.train_step(data, optimizer)['loss'].detach()) for _ in range(30)]
    assert losses[-1] < 0.2 * losses[0]
    model.fit([model.extract_batch(inputs, [sample_of(img_path='a.jpg')])])
    assert torch.equal(partition(model.predict(inputs)[0].pred_sem_seg.data), partition(groups))


def test_errors_say_what_to_do():
    model = segmentor()
    with pytest.raises(NotFittedError, match=r'FitTestLoop.*fit\(stream\)'):
        model.predict(image()[0])
    with pytest.raises(NotImplementedError, match='no loss'):
        model(image()[0], [sample_of()], mode='loss')
    with pytest.raises(NotImplementedError, match='flipped'):
        fitted().predict(image()[0], [sample_of(flip=True)])
    for asks in (Requests(attention=True), Requests(qkv=0)):
        attentive = segmentor(postprocessors=[dict(type='leopart_mm.MergePairs', asks=asks)])
        with pytest.raises(TypeError, match='DenseViT'):
            attentive.extract_dense(image()[0])
    with pytest.raises(TypeError, match='reduced features, which RetrievalHead does not give'):
        segmentor(decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=4),
                  postprocessors=[dict(type='leopart_mm.MergePairs', asks=Requests(reduced=True))])


def test_dense_vit_gives_attention_where_a_stage_needs_it():
    backbone = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=dict(depth=1, img_size=32))
    model = segmentor(backbone=backbone, postprocessors=[dict(type='leopart_mm.MergePairs')])
    plain = model.extract_dense(torch.zeros(1, 3, 32, 32))
    assert (plain.cls_attention, plain.k) == (None, None)
    model.postprocessors['mergepairs'].asks = Requests(attention=True, qkv=0)
    features = model.extract_dense(torch.zeros(1, 3, 32, 32))
    assert features.cls_attention.shape == (1, 3, 4)
    assert features.k.shape == (1, 3, 4, 64)


def test_head_works_in_mmsegs_own_encoder_decoder():
    head = segmentor().decode_head
    maps = Patches()(image()[0])
    ours = fitted()
    model = MMSEG_MODELS.build(ConfigDict(
        type='EncoderDecoder',
        backbone=dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=dict(depth=1)),
        decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=2, pca_dim=None),
        test_cfg=dict(mode='whole')))
    assert not head.is_fitted
    model.backbone = ours.backbone
    model.decode_head.load_state_dict(ours.decode_head.state_dict())
    sample, = model.predict(image()[0])
    assert sample.pred_sem_seg.data.shape == (1, 12, 16)
    assert torch.equal(partition(ours.decode_head(maps).argmax(1)),
                       partition(ours.run_stages(ours.extract_batch(image()[0], None)).labels[0]))
    assert isinstance(sample.pred_sem_seg, PixelData)
