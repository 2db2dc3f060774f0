"""Position out of features in segmentors: grids, checkpoints, numbers of passes and processes, other segmentors."""

import copy
import pickle

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from leopart_mm.clustering.position import cell_places
from leopart_mm.models.segmentors import RetrievalSegmentor, UnsupervisedSegmentor
from tests.distributed import run_distributed

BLACK = dict(type='leopart_mm.BlackImageDebias', rank=2)
REGRESSION = dict(type='leopart_mm.PositionRegressionDebias', rank=2, ridge=1e-6)
KINDS = [BLACK, REGRESSION]
IDS = ['black', 'regression']


class PlacedPatches(nn.Module):
    """Mean colour of each 4x4 patch in three channels, row and column in two that vary more, and a large constant."""

    patch_size = 4
    size_mode = 'pad'

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(50.))

    def forward(self, image):
        colours = nn.functional.avg_pool2d(image, 4)
        places = (cell_places(colours.shape[-2:]) - 0.5).permute(2, 0, 1) * self.scale
        mixed = torch.cat([colours, places.expand(len(image), -1, -1, -1), torch.full_like(colours[:, :1], 300)], 1)
        turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
        return (torch.einsum('bchw,cd->bdhw', mixed, turn), )


def model_of(debias, head=None, kind=UnsupervisedSegmentor):
    head = head or dict(type='leopart_mm.OverclusterHead', num_clusters=3, seeds=2, pca_dim=None, standardise=False,
                        nredo=10, niter=20)
    return kind(backbone=PlacedPatches(), decode_head=dict(head, debias=debias)).eval()


def scene(seed=0, grid=(4, 6), images=4):
    """Images of three colours (B, 3, H, W) and the colours of the cells (B, h, w)."""
    kinds = torch.randint(0, 3, (images, *grid), generator=torch.Generator().manual_seed(seed))
    colours = 5 * torch.eye(3)[kinds].permute(0, 3, 1, 2)
    return colours.repeat_interleave(4, 2).repeat_interleave(4, 3), kinds


def samples_of(kinds):
    return [SegDataSample(gt_sem_seg=PixelData(data=one.repeat_interleave(4, 0).repeat_interleave(4, 1)[None]),
                          metainfo=dict(img_path=f'{one.sum()}{index}')) for index, one in enumerate(kinds)]


def stream_of(model, *scenes):
    return [model.extract_batch(images, samples_of(kinds)) for images, kinds in scenes]


def agreement(model, images, kinds):
    """Whether every label is one colour and every colour one label, by the first seed."""
    labels = torch.stack([sample.pred_clusters.data[0] for sample in model.predict(images, samples_of(kinds))])
    pairs = {(int(a), int(b)) for a, b in zip(labels.flatten(), kinds.flatten(), strict=True)}
    return len(pairs) == 3


@pytest.mark.parametrize('debias', KINDS, ids=IDS)
def test_clusters_are_of_colours_instead_of_places(debias):
    for chosen, expected in ((None, False), (debias, True)):
        model = model_of(chosen)
        model.fit(stream_of(model, scene(), scene(1)))
        assert agreement(model, *scene(2)) is expected


@pytest.mark.parametrize('debias', KINDS, ids=IDS)
def test_retrieval_finds_colours_instead_of_places(debias):
    head = dict(type='leopart_mm.RetrievalHead', num_classes=3, k=8)
    right = []
    for chosen in (None, debias):
        model = model_of(chosen, head, RetrievalSegmentor)
        model.fit(stream_of(model, scene(), scene(1)))
        images, kinds = scene(2)
        found = torch.stack([sample.pred_sem_seg.data[0, 2::4, 2::4]
                             for sample in model.predict(images, samples_of(kinds))])
        right.append((found == kinds).float().mean().item())
    assert right[0] < 0.8
    assert right[1] == 1


def test_a_black_image_is_seen_once_per_grid():
    model = model_of(BLACK)
    sizes = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape)))
    model.fit(stream_of(model, scene(), scene(1), scene(2, (5, 3))))
    black = [size for size in sizes if size[0] == 1]
    assert black == [(1, 3, 16, 24), (1, 3, 20, 12)]
    assert model.debias.grids.tolist() == [[4, 6], [5, 3]]
    bases = model.debias.bases
    assert agreement(model, *scene(3, (6, 6)))  # a grid that comes after fitting
    assert model.debias.grids.tolist() == [[4, 6], [5, 3], [6, 6]]
    assert torch.equal(model.debias.bases[:2], bases)
    model.fit(stream_of(model, scene()))
    assert model.debias.grids.tolist() == [[4, 6]]


def test_the_regression_reports_what_it_removes():
    model = model_of(REGRESSION)
    model.fit(stream_of(model, scene(), scene(2, (5, 3))))
    before, after = model.debias.info['position_r2']
    assert before > 0.999
    assert after < 0.1
    assert model.debias.grids.tolist() == [[0, 0]]
    assert agreement(model, *scene(3, (6, 6)))


@pytest.mark.parametrize('debias', KINDS, ids=IDS)
def test_batches_and_order_do_not_matter(debias):
    model, other = model_of(debias), model_of(debias)
    model.fit(stream_of(model, scene(), scene(1)))
    images, kinds = (torch.cat(parts) for parts in zip(scene(1), scene(), strict=True))
    other.fit(stream_of(other, *((images[i:i + 1], kinds[i:i + 1]) for i in range(8))))
    images, kinds = scene(5)
    maps = model.backbone(images)[0]
    torch.testing.assert_close(model.debias(maps), other.debias(maps), rtol=0, atol=1e-4)


@pytest.mark.parametrize('debias', KINDS, ids=IDS)
def test_checkpoints_hold_it_and_refuse_other_configs(debias):
    model = model_of(debias)
    model.fit(stream_of(model, scene()))
    images, kinds = scene(3)
    loaded = model_of(debias)
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(loaded.debias.bases, model.debias.bases)
    for copied in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for ours, theirs in zip(*(one.predict(images, samples_of(kinds)) for one in (copied, model)), strict=True):
            assert torch.equal(ours.pred_clusters.data, theirs.pred_clusters.data)
    other = next(kind for kind in KINDS if kind is not debias)
    for config in (None, other):
        with pytest.raises(ValueError, match=r"fitted with debias=\{'type': '" + debias['type'].split('.')[1]):
            model_of(config).load_state_dict(model.state_dict())
    plain = model_of(None)
    plain.fit(stream_of(plain, scene()))
    assert not [key for key in plain.state_dict() if 'debias' in key]
    with pytest.raises(ValueError, match=r'fitted with debias=None \(config'):
        model_of(debias).load_state_dict(plain.state_dict())


def test_a_copied_model_asks_its_own_network():
    model = model_of(BLACK)
    model.fit(stream_of(model, scene()))
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.backbone.scale.zero_()
    assert not other.debias.basis_of((9, 9)).any()
    assert model.debias.basis_of((9, 9)).any()


def test_a_head_alone_names_the_grids_it_knows():
    model = model_of(BLACK)
    model.fit(stream_of(model, scene()))
    head = model_of(BLACK).decode_head
    head.load_state_dict(model.decode_head.state_dict())
    head.debias.black_map = None
    assert head((torch.rand(1, 6, 4, 6), )).shape == (1, 3, 4, 6)
    with pytest.raises(ValueError, match=r'not fitted for a grid of 3 x 3 patches, only for 4 x 6'):
        head((torch.rand(1, 6, 3, 3), ))


def test_a_network_without_patches_is_refused():
    model = model_of(BLACK)
    batches = stream_of(model, scene())
    model.backbone.patch_size = None
    with pytest.raises(ValueError, match='BlackImageDebias needs a backbone of patches'):
        model.fit(batches)


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(REGRESSION, rank=3), 'rank=3 must be even'), (dict(REGRESSION, ridge=0.), 'ridge=0.0 greater than 0')])
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        model_of(settings)


def _bases_of_process(debias, scenes):
    from mmengine.dist import get_rank
    model = model_of(debias)
    model.fit(stream_of(model, *scenes[get_rank()::2]))
    return model.debias.grids.tolist(), model.debias.bases


@pytest.mark.slow
@pytest.mark.parametrize('debias', KINDS, ids=IDS)
def test_two_processes_equal_one(debias):
    scenes = [scene(0), scene(1, (5, 3)), scene(2), scene(3, (5, 3))]
    model = model_of(debias)
    model.fit(stream_of(model, *scenes))
    for grids, bases in run_distributed(_bases_of_process, 2, debias, scenes):
        assert grids == model.debias.grids.tolist()
        torch.testing.assert_close(bases @ bases.mT, model.debias.bases @ model.debias.bases.mT, rtol=0, atol=1e-5)


@pytest.mark.parametrize(('debias', 'message'), [
    (dict(type='leopart_mm.Nothing', rank=2), r"'leopart_mm\.Nothing'.* is none: .*leopart_mm\.BlackImageDebias"),
    (dict(rank=2), 'with one of leopart_mm'), ('black', "debias='black' is none"),
    (dict(type='leopart_mm.OverclusterHead', num_clusters=3), 'PositionRegressionDebias, or None'),
    (dict(type='leopart_mm.BlackImageDebias'), 'lacks the number of directions: rank=8'),
    (dict(BLACK, rank='8'), "rank='8' must be a whole number"), (dict(BLACK, rank=0), 'rank=0 must be'),
    (dict(REGRESSION, rank=3), 'rank=3 must be even'), (dict(REGRESSION, rank=2.), 'must be a whole number')])
def test_what_is_no_debias_is_refused_with_the_ones_there_are(debias, message):
    with pytest.raises(ValueError, match=message):
        model_of(debias)


@pytest.mark.parametrize('debias', [dict(BLACK, rank=6), dict(REGRESSION, rank=6)], ids=IDS)
def test_more_directions_than_channels_leave_are_refused(debias):
    model = model_of(debias)
    with pytest.raises(ValueError, match=r'rank=6 is impossible.*6 channels'):
        model.fit(stream_of(model, scene()))
