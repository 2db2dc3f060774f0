"""Every method takes a tiny DINOv3: each is fitted or takes a step, and what it needs of the network is there."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.engine.hooks import SelfSupStepHook
from leopart_mm.engine.optimizers import BackboneHeadConstructor
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.masks import MaskInputs, ObjectSeedProposals, PrincipalProposals, ProposalImage
from leopart_mm.registry import MODELS
from tests.models.backbones.builders import tiny_vit
from tests.models.segmentors.prototypes import samples
from tests.models.segmentors.prototypes import tiny_cfg as tiny_prototypes
from tests.models.selfsup.builders import filled, random_batch, tiny_cfg, tiny_neco_cfg, tiny_paka_cfg

DINOV3, SIGLIP = 'vit_small_patch16_dinov3', 'vit_base_patch16_siglip_224'
SIZES = dict(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2)


def on(arch: str, cfg: dict) -> dict:
    cfg['backbone'].update(arch=arch)
    return cfg


def cells_of(images: int = 4) -> torch.Tensor:
    """Images (N, 3, 32, 32) whose patches are of four noisy colours."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.randint(0, 4, (images, 4, 4), generator=generator)
    values = torch.tensor([[2., 0, 0], [0, 2, 0], [0, 0, 2], [-2, -2, 0]])[colours].permute(0, 3, 1, 2)
    values = values.repeat_interleave(8, 2).repeat_interleave(8, 3)
    return values + 0.1 * torch.randn(values.shape, generator=generator)


@pytest.mark.parametrize('arch', [DINOV3, SIGLIP])
@pytest.mark.parametrize(('build', 'mask'), [(tiny_cfg, 'fg'), (tiny_neco_cfg, 'fg'), (tiny_neco_cfg, 'all'),
                                             (tiny_paka_cfg, 'all')])
def test_leopart_neco_and_paka_step(arch, build, mask):
    """A step lowers the loss of its batch, moves every parameter but the pooling head's, and the teacher follows."""
    model = filled(on(arch, build(loss=dict(mask=mask))))
    wrapper = BackboneHeadConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3)))(model)
    SelfSupStepHook(0.9).attach(model, wrapper.optimizer)
    inputs = random_batch(2)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses = []
    for _ in range(4):
        model.before_step()
        losses.append(model.train_step(dict(inputs=inputs), wrapper)['loss'].item())
        model.after_step()
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    for name, parameter in model.named_parameters():
        moved = not torch.equal(parameter, before[name])
        assert moved == ('attn_pool' not in name), name


def test_primaps_steps():
    torch.manual_seed(0)
    model = MODELS.build(on(DINOV3, tiny_prototypes()))
    model.train()
    proposals = samples()
    losses = [value for name, value in model(cells_of(2), proposals, mode='loss').items() if 'loss' in name]
    sum(losses).backward()
    assert losses
    gradients = [parameter.grad for parameter in model.decode_head.parameters() if parameter.requires_grad]
    assert gradients
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert all(parameter.grad is None for parameter in model.backbone.parameters())


def test_primaps_and_maskdistill_propose_masks():
    """MaskDistill's mask is a square that differs from its surroundings; PriMaPs labels every pixel."""
    vit = tiny_vit(DINOV3, model_kwargs=SIZES)
    image = torch.full((1, 3, 32, 48), -2.)
    image[..., 8:24, 16:32] = 2
    with torch.no_grad():
        features = vit.forward_dense(image, class_query_block=-1)
    inputs = MaskInputs(['name'], features.grid, [Extent(0, 4, 0, 6)], features=features.maps[-1],
                        class_q=features.class_q, token_k=features.token_k)
    picture = ProposalImage('name', np.zeros((32, 48, 3), np.uint8), (32, 48))
    square = np.zeros((32, 48), bool)
    square[8:24, 16:32] = True
    found, = ObjectSeedProposals(heads=2, center_keys=True)(inputs, [picture])
    mask, = found.masks()
    assert np.array_equal(mask, square) or np.array_equal(mask, ~square)
    found, = PrincipalProposals()(inputs, [picture])
    assert found.labels.shape == (32, 48)
    assert found.labels[square].any()


@pytest.mark.parametrize('arch', [DINOV3, SIGLIP])
def test_clusters_foreground_and_communities_are_fitted(arch):
    torch.manual_seed(0)
    stages = dict(
        foreground=dict(type='leopart_mm.CBFE', masks=dict(type='leopart_mm.AttentionMasks', mass=0.6),
                        map_size=(4, 4)),
        clusters=dict(type='leopart_mm.ForegroundClustering', num_clusters=3, map_size=(4, 4), niter=5, nredo=1))
    model = MODELS.build(dict(
        type='leopart_mm.UnsupervisedSegmentor',
        backbone=dict(type='leopart_mm.DenseViT', arch=arch, model_kwargs=SIZES),
        decode_head=dict(type='leopart_mm.OverclusterHead', num_clusters=4, seeds=1, pca_dim=None, niter=10, nredo=1),
        stage_order=list(stages), postprocessors=stages)).eval()
    images = cells_of()
    batch = model.extract_batch(images, [SegDataSample(metainfo=dict(img_path=f'{i}.jpg')) for i in range(4)])
    assert batch.features.cls_attention.shape[-1] == 16
    model.fit([batch])
    assert model.is_fitted
    predicted = model.predict(images, [SegDataSample(metainfo=dict(ori_shape=(32, 32))) for _ in range(4)])
    assert all(sample.pred_sem_seg.data.shape == (1, 32, 32) for sample in predicted)


def test_retrieval_finds_the_colours():
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='leopart_mm.RetrievalSegmentor',
        backbone=dict(type='leopart_mm.DenseViT', arch=DINOV3, model_kwargs=SIZES),
        decode_head=dict(type='leopart_mm.RetrievalHead', num_classes=4, k=1))).eval()
    images = cells_of(6)
    colours = torch.stack([images[:, 0], images[:, 1], images[:, 2], -images[:, 0]], 1).argmax(1)
    labelled = [SegDataSample(metainfo=dict(img_path=f'{i}.jpg'), gt_sem_seg=PixelData(data=colours[i][None]))
                for i in range(4)]
    model.fit([model.extract_batch(images[:4], labelled)])
    predicted = model.predict(images[4:], [SegDataSample(metainfo=dict(ori_shape=(32, 32))) for _ in range(2)])
    right = torch.stack([sample.pred_sem_seg.data[0] for sample in predicted]) == colours[4:]
    assert right.float().mean() > 0.7  # borders between patches are interpolated
