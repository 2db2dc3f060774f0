"""LeopartInferencer: the same labels as the model, from any input, streaming."""

import re
import weakref
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose

from leopart_mm.apis import LeopartInferencer
from leopart_mm.apis.checkpoint_config import config_of, parse_config_text
from leopart_mm.apis.inferencer import model_digest
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.models.postprocessors import BasePostprocessor
from leopart_mm.registry import INFERENCERS, MODELS
from leopart_mm.visualization.cluster_names import ClusterNames
from tests.apis.builders import TINY, config, fitted_checkpoint, stub_config, write_images


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
    return fitted_checkpoint(tmp_path_factory.mktemp('fitted') / 'fitted.pth')


@pytest.fixture(scope='module')
def fitted_128(tmp_path_factory):
    """As `fitted`, for images of 128 px."""
    return fitted_checkpoint(tmp_path_factory.mktemp('fitted') / 'fitted_128.pth', resize=(128, 128))


def stub(**kwargs):
    model = {key: kwargs.pop(key) for key in ('bands', 'step') if key in kwargs}
    return LeopartInferencer(dict(state_dict={}), stub_config(**model), **kwargs)


def test_a_fitted_checkpoint_alone_gives_the_models_labels(fitted, tmp_path):
    image, = write_images(tmp_path, ['a.png'], size=(45, 70))
    inferencer = LeopartInferencer(fitted, device='cpu')
    found = inferencer.segment(tmp_path / 'a.png')
    assert (found.name, found.labels.shape, found.labels.dtype) == ('a', (45, 70), np.uint8)
    pipeline = Compose([*config().test_dataloader.dataset.pipeline[1:2], dict(type='mmseg.PackSegInputs')])
    data = pipeline(dict(img=image, img_shape=(45, 70), ori_shape=(45, 70)))
    sample, = inferencer.model.test_step({key: [value] for key, value in data.items()})
    assert np.array_equal(found.labels, sample.pred_sem_seg.data[0])
    assert len(np.unique(found.labels)) > 1
    assert np.array_equal(found.image, image)
    assert np.array_equal(inferencer.segment(image).labels, found.labels)


def test_config_and_checkpoint_and_the_registry(fitted, tmp_path):
    config().dump(tmp_path / 'config.py')
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    expected = LeopartInferencer(fitted).segment(image).labels
    for name in ('LeopartInferencer', 'FittedInferencer'):
        built = INFERENCERS.build(dict(type=f'leopart_mm.{name}', checkpoint=str(fitted),
                                       config=str(tmp_path / 'config.py')))
        assert np.array_equal(built.segment(image).labels, expected)


def test_scores_at_the_networks_size_do_not_shrink_label_maps(fitted):
    cfg = config()
    cfg.test_dataloader.dataset.pipeline.insert(2, dict(type='leopart_mm.KeepNetworkSize'))
    cfg.test_dataloader.dataset.pipeline.insert(2, dict(type='leopart_mm.CentreCrop', size=20))
    image = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    found = LeopartInferencer(fitted, cfg).segment(image).labels
    assert np.array_equal(found, LeopartInferencer(fitted).segment(image).labels)


def test_an_unfitted_model_and_missing_configs_are_refused(fitted, tmp_path):
    checkpoint = torch.load(fitted)
    state = {key: value for key, value in checkpoint['state_dict'].items() if key.startswith('backbone.')}
    torch.save(dict(meta=checkpoint['meta'], state_dict=state), tmp_path / 'backbone.pth')
    with pytest.raises(ValueError, match=r'backbone.pth holds a model that is not fitted.*--save-fitted'):
        LeopartInferencer(tmp_path / 'backbone.pth')
    with pytest.raises(ValueError, match=r'holds the weights of a network alone.* CHECKPOINT --save-fitted fitted.pth'):
        LeopartInferencer(dict(state_dict=state))
    with pytest.raises(ValueError, match='carries no config'):
        LeopartInferencer(dict(state_dict=checkpoint['state_dict']))
    with pytest.raises(ValueError, match='no test transforms'):
        LeopartInferencer(checkpoint, config=_without_pipeline())


def test_other_checkpoints_say_how_to_get_a_fitted_one(fitted, tmp_path):
    backbone = {key.removeprefix('backbone.'): value for key, value in torch.load(fitted)['state_dict'].items()
                if key.startswith('backbone.')}
    training = {f'{root}backbone.{key}': value for root in ('', 'teacher.') for key, value in backbone.items()}
    cfg = Config(dict(model=dict(type='leopart_mm.Leopart')))
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=4), state_dict=training), tmp_path / 'iter_4.pth')
    command = re.escape(f'python tools/test.py CONFIG {tmp_path / "iter_4.pth"} --save-fitted fitted.pth')
    with pytest.raises(ValueError, match=f'self-supervised network as it is trained.*{command}'):
        LeopartInferencer(tmp_path / 'iter_4.pth')
    with pytest.raises(ValueError, match=command):
        LeopartInferencer(tmp_path / 'iter_4.pth', config())
    torch.save(backbone, tmp_path / 'dino.pth')
    for given in (None, config()):
        with pytest.raises(ValueError, match=r'weights of a network alone.*CONFIG \S*dino.pth --save-fitted'):
            LeopartInferencer(tmp_path / 'dino.pth', given)


def test_a_config_that_does_not_fit_is_said_without_lists_of_keys(fitted):
    cfg = config()
    cfg.model = dict(type='leopart_mm.DenseViT', arch='vit_tiny_patch16_224', model_kwargs=TINY)
    with pytest.raises(ValueError, match=r'The config builds a DenseViT, which gives no label maps'):
        LeopartInferencer(torch.load(fitted), cfg)
    cfg = config()
    cfg.model.backbone.model_kwargs = dict(TINY, depth=1)
    with pytest.raises(ValueError, match=r'only in the checkpoint: backbone.*Give the config') as error:
        LeopartInferencer(torch.load(fitted), cfg)
    assert len(str(error.value)) < 700
    cfg = config()
    cfg.model.decode_head = dict(type='leopart_mm.RetrievalHead', num_classes=4)
    with pytest.raises(ValueError, match=r'fitted by another kind of model: the config has a RetrievalHead here'):
        LeopartInferencer(torch.load(fitted), cfg)


def _without_pipeline():
    cfg = config()
    cfg.test_dataloader.dataset.pop('pipeline')
    return cfg


def test_the_config_in_a_checkpoint_is_parsed_not_run(tmp_path):
    text = config().pretty_text + f"\nbad = __import__('os').mkdir({str(tmp_path / 'made')!r})\n"
    with pytest.raises(ValueError, match=r'cannot be read safely \(line \d+ holds more than plain values\)'):
        config_of(dict(meta=dict(cfg=text)), 'The file')
    assert not (tmp_path / 'made').exists()
    assert config_of(dict(meta=dict(cfg=config().pretty_text)), 'The file').to_dict() == config().to_dict()
    assert parse_config_text("a = dict(b=[1, -2.5, None], c={'x y': (True, )})\nd = float('inf')") == dict(
        a=dict(b=[1, -2.5, None], c={'x y': (True, )}), d=float('inf'))


@pytest.mark.parametrize('bands', [2, 6])
def test_many_bands(bands, tmp_path):
    inferencer = LeopartInferencer(fitted_checkpoint(tmp_path / 'fitted.pth', bands=bands))
    image = np.random.default_rng(0).integers(0, 4000, (48, 40, bands), np.uint16)
    np.save(tmp_path / 'a.npy', image)
    found = inferencer.segment(tmp_path / 'a.npy')
    assert found.labels.shape == (48, 40)
    assert np.array_equal(inferencer.segment(np.moveaxis(image, 2, 0)).labels, found.labels)
    assert found.overlay().shape == (48, 40, 3)


def test_more_than_256_clusters_stay_apart():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 15:] = 251
    inferencer = stub(step=0.5)
    found = inferencer.segment(image)
    assert found.labels.dtype == np.uint16
    assert np.unique(found.labels).tolist() == [0, 502]


def test_tiles_give_what_the_whole_gives():
    image = np.random.default_rng(0).integers(0, 250, (61, 90, 3), np.uint8)
    whole = stub()
    expected = whole.segment(image).labels
    assert np.array_equal(expected, image[..., 0])
    tiled = stub(tile_size=32, overlap=10)
    assert np.array_equal(tiled.segment(image).labels, expected)
    assert set(tiled.model.sizes) == {(32, 32)}
    assert whole.model.sizes == [(61, 90)]


def test_an_image_within_one_tile_is_segmented_as_a_whole(fitted):
    image = np.random.default_rng(0).integers(0, 256, (30, 32, 3), np.uint8)
    expected = LeopartInferencer(fitted).segment(image).labels
    assert np.array_equal(LeopartInferencer(fitted, tile_size=32).segment(image).labels, expected)


def test_each_tile_is_prepared_like_an_image(fitted):
    image = np.random.default_rng(0).integers(0, 256, (32, 80, 3), np.uint8)
    inferencer = LeopartInferencer(fitted, tile_size=32, overlap=8)
    labels = inferencer.segment(image).labels
    whole = LeopartInferencer(fitted)
    assert np.array_equal(labels[:, :28], whole.segment(image[:, :32]).labels[:, :28])
    assert np.array_equal(labels[:, 52:], whole.segment(image[:, 48:]).labels[:, 4:])
    assert np.array_equal(labels[:, 28:52], whole.segment(image[:, 24:56]).labels[:, 4:28])


@pytest.mark.slow
def test_ten_thousand_pixels_from_a_memory_map(tmp_path):
    image = np.lib.format.open_memmap(tmp_path / 'large.npy', 'w+', np.uint8, (10_000, 10_000, 4))
    image[::7] = 9
    image[:, 5000:, 0] = 200
    image.flush()
    inferencer = stub(bands=4)
    found = inferencer.segment(tmp_path / 'large.npy')
    assert isinstance(found.image, np.memmap)
    assert set(inferencer.model.sizes) == {(2048, 2048)}
    assert np.array_equal(found.labels, image[..., 0])
    assert max(found.overlay().shape) <= 2500


def smooth_picture(height, width):
    """The same large blobs at any size."""
    blobs = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    return cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(('limit', 'side'), [(dict(), 2048), (dict(max_side=1024), 1024), (dict(tile_size=1024), 1024)])
@pytest.mark.parametrize('ratio', [1., 0.6])
def test_the_scale_has_no_cliff_where_tiles_begin(fitted_128, limit, side, ratio):
    """2,048 px were squashed to the network's size and 2,049 px cut into tiles of it: a third got other labels."""
    inferencer = LeopartInferencer(fitted_128, **limit)
    below, at, above = (inferencer.segment(smooth_picture(round(side * ratio), length)).labels
                        for length in (side - 1, side, side + 1))
    assert len(np.unique(at)) > 2
    assert (at == above[:, :side]).mean() > 0.97
    assert (below == at[:, :side - 1]).mean() > 0.97


def test_the_number_of_tiles_makes_no_cliff(fitted_128):
    """896 = 512 + 384 px is the last width of two tiles of 512 px that share 128."""
    inferencer = LeopartInferencer(fitted_128, tile_size=512, overlap=128)
    two, three = (inferencer.segment(smooth_picture(300, length)).labels for length in (896, 897))
    assert (two == three[:, :896]).mean() > 0.97


def test_an_image_that_needs_no_tiles_is_untouched_by_them(fitted):
    image = smooth_picture(90, 120)
    expected = LeopartInferencer(fitted).segment(image).labels
    assert np.array_equal(LeopartInferencer(fitted, max_side=120, overlap=30).segment(image).labels, expected)


def test_a_folder_with_everything_in_it(fitted, tmp_path):
    write_images(tmp_path, ['a/1.png', 'b/1.png', 'b/2.jpg'])
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'b' / 'cut.png').write_bytes((tmp_path / 'b' / '1.png').read_bytes()[:200])
    (tmp_path / 'b' / 'empty.jpg').write_bytes(b'')
    np.save(tmp_path / 'five.npy', np.zeros((9, 9, 5)))
    inferencer = LeopartInferencer(fitted)
    names = [found.name for found in inferencer(tmp_path)]
    assert names == ['a/1', 'b/1', 'b/2']
    report = inferencer.report
    assert (report.num_done, report.num_skipped) == (3, 1)
    assert [path for path, _ in report.corrupt] == [str(tmp_path / name)
                                                    for name in ('b/cut.png', 'b/empty.jpg', 'five.npy')]
    assert '3 images segmented, 1 other files skipped, 3 images could not be read:' in report.summary()


def test_a_missing_folder_is_told_at_once():
    with pytest.raises(FileNotFoundError, match='nowhere'):
        stub()('nowhere')


def test_nothing_is_kept_while_a_folder_streams(tmp_path):
    write_images(tmp_path, [f'{number}.png' for number in range(30)], size=(4, 4))
    references, most = [], 0
    inferencer = stub()
    for found in inferencer(tmp_path):
        references += [weakref.ref(found), weakref.ref(found.labels), weakref.ref(found.image)]
        found.overlay()
        del found
        most = max(most, sum(reference() is not None for reference in references))
    assert len(references) == 90
    assert most <= 3  # one result: the one that the generator has just handed out
    assert inferencer.report.num_done == 30


@pytest.mark.slow
def test_a_thousand_images(fitted, tmp_path):
    image, = write_images(tmp_path, ['0000.png'], size=(16, 16))
    data = (tmp_path / '0000.png').read_bytes()
    for number in range(1, 1000):
        (tmp_path / f'{number:04}.png').write_bytes(data)
    inferencer = LeopartInferencer(fitted)
    alive, expected, count = [], inferencer.segment(image).labels, 0
    for found in inferencer(tmp_path):
        assert found.name == f'{count:04}'
        assert np.array_equal(found.labels, expected)
        alive = [reference for reference in alive if reference() is not None] + [weakref.ref(found.labels)]
        assert len(alive) <= 2
        count += 1
    assert count == 1000


def test_named_clusters_merge_in_pictures(tmp_path):
    names = ClusterNames.default(512)
    names.names[3] = names.names[7] = 'wheel'
    names.colours[3] = (1, 2, 3)
    image = np.zeros((6, 9, 3), np.uint8)
    image[:, 3:6], image[:, 6:] = 3, 7
    found = stub(names=names).segment(image)
    groups, merged = found.groups
    assert np.unique(groups).tolist() == [0, 3]
    assert merged.names[3] == 'wheel'
    assert found.overlay(alpha=1.)[0, 7].tolist() == [1, 2, 3]
    assert len(np.unique(found.labels)) == 3
    with pytest.raises(ValueError, match='5 names were given for 512 clusters'):
        stub(names=ClusterNames.default(5))


def test_names_that_were_written_for_another_model_are_announced(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('leopart_mm.apis.inferencer.print_log', lambda text, **options: lines.append(text))
    ClusterNames.default(512).save(tmp_path / 'own.yaml', model=model_digest(stub().model))
    ClusterNames.default(512).save(tmp_path / 'other.yaml', model='0123')
    ClusterNames.default(512).save(tmp_path / 'any.yaml')
    for name in ('own', 'any', 'other'):
        stub(names=tmp_path / f'{name}.yaml')
    assert [('other.yaml' in line, 'another model' in line) for line in lines] == [(True, True)]


def test_wrong_arrays_raise():
    with pytest.raises(ImageReadError, match=r'shape is \(4, 4, 7\)'):
        stub().segment(np.zeros((4, 4, 7), np.uint8))


class Communities(BasePostprocessor):
    """Stands for CommunityDetection: clusters 0 and 2 are community 1, 1 and 3 background."""

    num_labels = 2

    def __init__(self):
        super().__init__()
        self.register_buffer('communities', torch.tensor([[1, 0, 1, 0]]))

    def network(self):
        return SimpleNamespace(communities=self.communities[0].numpy())

    def forward(self, prediction, batch):
        return prediction.with_labels(self.communities[0][prediction.labels], 2)


def test_parts_of_communities(fitted):
    MODELS.register_module(name='CommunitiesStub', module=Communities, force=True)
    checkpoint = torch.load(fitted)
    cfg = config()
    cfg.model.postprocessors = [dict(type='leopart_mm.CommunitiesStub')]
    checkpoint['state_dict']['postprocessors.0.communities'] = torch.tensor([[1, 0, 1, 0]])
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    merged, parts = (LeopartInferencer(checkpoint, cfg, parts=parts) for parts in (False, True))
    assert (merged.num_clusters, parts.num_clusters) == (2, 4)
    assert (merged.communities, parts.communities) == (None, [1, 0, 1, 0])
    expected = LeopartInferencer(fitted).segment(image).labels
    assert np.array_equal(parts.segment(image).labels, expected)
    assert np.array_equal(merged.segment(image).labels, np.array([1, 0, 1, 0])[expected])
    with pytest.raises(ValueError, match='needs a model with CommunityDetection'):
        LeopartInferencer(fitted, parts=True)


def test_images_of_more_than_8_bits_are_scaled_as_the_data_set_was(fitted, tmp_path):
    checkpoint = torch.load(fitted, weights_only=True)
    checkpoint['meta']['dataset_meta']['value_range'] = (0., 4000.)
    array = np.linspace(0, 4000, 32 * 48).reshape(32, 48).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'a.tif'), array)
    image = LeopartInferencer(checkpoint).segment(str(tmp_path / 'a.tif')).image
    np.testing.assert_array_equal(image[..., 0], np.rint(array / 4000. * 255))


@pytest.mark.parametrize('options', [{}, dict(tile_size=24, overlap=8)])
def test_networks_of_many_bands_scale_as_their_data_set_was(tmp_path, options):
    """Labels of LoadImage's 0..255, NaN and nodata left out and marked."""
    cfg = stub_config(bands=4)
    cfg.test_pipeline[0] = dict(type='leopart_mm.LoadImage', bands=4)
    checkpoint = dict(state_dict={}, meta=dict(dataset_meta=dict(value_range=(0., 2000.), nodata=-9999)))
    array = np.full((32, 48, 4), 1000, np.float32)
    array[:8], array[8:16], array[16:24] = 2000, np.nan, -9999
    np.save(tmp_path / 'a.npy', array)
    found = LeopartInferencer(checkpoint, cfg, **options).segment(str(tmp_path / 'a.npy'))
    assert [np.unique(part).tolist() for part in np.split(found.labels, 4)] == [[255], [65535], [65535], [127]]
    assert found.counts().nonzero()[0].tolist() == [127, 255]
    assert found.overlay().shape == (32, 48, 3)
    raw = stub(bands=4).segment(np.full((8, 8, 4), 300, np.float32))
    assert np.unique(raw.labels).tolist() == [300]


def test_pixels_without_data_are_marked_and_unpainted(fitted, tmp_path):
    image = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    image[:20] = np.nan
    cv2.imwrite(str(tmp_path / 'a.tif'), image)
    found = LeopartInferencer(fitted).segment(str(tmp_path / 'a.tif'))
    assert (found.labels[:20] == 255).all()
    assert found.labels[20:].max() < 4
    assert found.counts().sum() == 800
    assert (found.overlay()[:19] == 0).all()
    assert (found.groups[0][:20] == 255).all()


def test_the_background_is_marked(fitted):
    loaded = torch.load(fitted, weights_only=False)
    assert not LeopartInferencer(loaded).names.background.any()
    loaded['meta']['dataset_meta']['classes'] = ['cat', 'background', 'cow', 'dog']  # of a model that predicts classes
    assert LeopartInferencer(loaded).names.background.tolist() == [False, True, False, False]
