"""All that is fitted without gradients, on a GPU: the same results as on the CPU, and no trip to the host per batch.

Without a GPU the code for GPUs runs on a fake one (`tests.no_sync.fake_cuda`), which computes on the CPU.
"""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.clustering.dense_lloyd import DenseLloyd, dense_nearest
from leopart_mm.clustering.kmeans import assign, kmeans
from leopart_mm.clustering.leading_direction import leading_directions
from leopart_mm.clustering.lloyd import Lloyd, nearest
from leopart_mm.clustering.moments import Moments
from leopart_mm.clustering.token_sample import TokenSample
from leopart_mm.devices import exact_products
from leopart_mm.evaluation.cluster_metric import ClusterMetric
from leopart_mm.geometry.patch_grid import Extent
from leopart_mm.late_checks import LateChecks
from leopart_mm.masks import crf_lattice
from leopart_mm.masks.crf import CRFSettings, dense_crf
from leopart_mm.masks.principal import PrincipalSettings, principal_masks
from leopart_mm.masks.sources import MaskSource
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.fitting import cache as cache_module
from leopart_mm.models.fitting.cache import ImageCache
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.registry import MODELS
from leopart_mm.retrieval.search import search
from tests.no_sync import HostTripError, fake_cuda, no_sync

SIZE, GRID, CHANNELS, CLUSTERS = 3, (6, 7), 12, 5
EXTENTS = [Extent(0, 6, 0, 7), Extent(0, 6, 0, 7), Extent(0.5, 5.2, 0, 6)]


class Stripes(MaskSource):
    """Noisy foreground: columns 2 to 4."""

    def __call__(self, inputs):
        masks = torch.zeros(len(inputs), *inputs.grid, device=inputs.device)
        masks[:, :, 2:5] = 1
        return masks


def batches(to, number, predicted=False):
    """Batches of SIZE images: well separated kinds of cells, labels of pixels, and a prediction of two variants."""
    generator = torch.Generator().manual_seed(3)
    centres = 4 * torch.randn(CLUSTERS, CHANNELS, generator=generator)
    for start in range(number):
        kinds = torch.randint(0, CLUSTERS, (SIZE, *GRID), generator=generator)
        kinds[:, :, 2:4] = kinds[:, :, 2:4] % 2 + 3
        maps = centres[kinds].permute(0, 3, 1, 2) + .3 * torch.randn(SIZE, CHANNELS, *GRID, generator=generator)
        truth = kinds.repeat_interleave(5, 1).repeat_interleave(5, 2).to(torch.uint8)
        truth[:, ::4] = 255
        samples = [SegDataSample(gt_sem_seg=PixelData(data=to(part[None]))) for part in truth]
        names = [f'{start} {index}' for index in range(SIZE)]
        features = DenseFeatures((to(maps), ), GRID, reduced=to(maps[:, :4].contiguous()))
        batch = FeatureBatch(features, samples, names, EXTENTS)
        if predicted:
            labels = torch.stack([kinds, (kinds + 1) % CLUSTERS])
            batch.predictions = dict(head=Prediction(to(labels), EXTENTS, CLUSTERS))
        yield batch


class Stream:
    """Batches that can be read again; `seen` after the first pass."""

    def __init__(self, to, number, predicted=False, seen=lambda: None):
        self.arguments, self.seen, self.num_images = (to, number, predicted), seen, number * SIZE

    def __iter__(self):
        yield from batches(*self.arguments)
        self.seen()


def head_fit(to, number, seen):
    head = MODELS.build(dict(type='leopart_mm.OverclusterHead', num_clusters=CLUSTERS, seeds=2, pca_dim=4, niter=9,
                             nredo=2))
    head.fit(Stream(to, number, seen=seen))
    maps = to(next(batches(lambda part: part, 1)).features.maps[0])
    return dict(mean=head.mean, projection=head.projection, centroids=head.centroids,
                scores=head.image_scores((maps, ), [dict(img_shape=(30, 35))]) if maps.device.type == 'cpu' else None)


def debias_fit(to, number, seen):
    debias = MODELS.build(dict(type='leopart_mm.PositionRegressionDebias', rank=2))
    debias.fit(Stream(to, number, seen=seen), -1)
    return dict(bases=debias.bases)


def foreground_fit(to, number, seen):
    stage = MODELS.build(dict(type='leopart_mm.ForegroundClustering', num_clusters=3, seeds=2, map_size=(20, 20),
                              niter=5, nredo=1))
    stage.fit(Stream(to, number, True, seen))
    return dict(centroids=stage.centroids, seen=torch.tensor(stage.info['foreground_points']))


def cbfe_fit(to, number, seen, **options):
    stage = MODELS.build(dict(type='leopart_mm.CBFE', map_size=(20, 20), masks=Stripes(), **options))
    stage.fit(Stream(to, number, True, seen))
    return dict(precisions=stage.precisions, thresholds=stage.thresholds)


def cbfe_published(to, number, seen):
    return cbfe_fit(to, number, seen, threshold='published', cuts=(0, 1))


def cooccurrence_fit(to, number, seen):
    stage = MODELS.build(dict(type='leopart_mm.CommunityDetection', map_size=(20, 20)))
    part = stage._read(Stream(to, number, True, seen))
    return {name: torch.stack([torch.from_numpy(counter.state()[name]) for counter in part.counters])
            for name in ('total', 'images', 'pixels')}


def retrieval_fit(to, number, seen, **options):
    head = MODELS.build(dict(type='leopart_mm.RetrievalHead', num_classes=CLUSTERS, k=3, **options))
    head.fit(Stream(to, number, seen=seen))
    return dict(keys=head.keys, counts=head.counts.long(), patches=torch.tensor(head.info['patches']),
                void=torch.tensor(head.info['void_images']))


def retrieval_of_few(to, number, seen):
    return retrieval_fit(to, number, seen, memory_size=number * SIZE * 9, void='class0')


def metric_table(to, number, seen):
    metric, of_pixels = ClusterMetric(matching='hungarian'), ClusterMetric(matching='hungarian')
    for one in (metric, of_pixels):
        one.dataset_meta = dict(classes=[str(index) for index in range(CLUSTERS)])
    for batch in batches(to, number, True):
        for index, sample in enumerate(batch.data_samples):
            labels = batch.prediction.labels[:, index]
            metric.process({}, [dict(pred_clusters=dict(data=labels), gt_sem_seg=dict(data=sample.gt_sem_seg.data),
                                     num_clusters=CLUSTERS)])
            of_pixels.process({}, [dict(pred_sem_seg=dict(data=sample.gt_sem_seg.data.long() % CLUSTERS),
                                        gt_sem_seg=dict(data=sample.gt_sem_seg.data))])
    seen()
    metric.evaluate(number * SIZE)
    of_pixels.evaluate(number * SIZE)
    return dict(tables=torch.from_numpy(metric.tables_), of_pixels=torch.from_numpy(of_pixels.tables_))


def neighbours(to, number, seen):
    maps = torch.cat([batch.features.maps[0] for batch in batches(lambda part: part, 4)])
    keys = to(F.normalize(maps, dim=1).permute(0, 2, 3, 1).reshape(-1, CHANNELS))
    for _ in range(number):
        values, rows = search(keys[:20], keys, 4)
    seen()
    return dict(values=values, rows=rows)


def crf(to, number, seen):
    generator = torch.Generator().manual_seed(0)
    image = (torch.rand(18, 20, 3, generator=generator) * 255).byte()
    logits = 2 * torch.randn(3, 6, 7, generator=generator)
    logits[0, 0, 0] = -torch.inf
    crf_lattice._kept.clear()
    found = dense_crf(to(logits), to(image), CRFSettings(iterations=number))
    seen()
    return dict(marginals=found) if number == 4 else {}


FITS = dict(head=head_fit, debias=debias_fit, foreground=foreground_fit, cbfe=cbfe_fit, cbfe_published=cbfe_published,
            cooccurrence=cooccurrence_fit, retrieval=retrieval_fit, retrieval_of_few=retrieval_of_few,
            metric=metric_table, neighbours=neighbours, crf=crf)


def same(found, expected):
    """Rounding of sums in another order; whole numbers are equal."""
    for name, value in expected.items():
        if value is not None and found[name] is not None:
            torch.testing.assert_close(found[name].cpu(), value, rtol=1e-4, atol=1e-5)


@pytest.fixture(autouse=True)
def _own_lattices():
    """Lattices that are kept must not come from a fake device."""
    yield
    crf_lattice._kept.clear()


@pytest.mark.parametrize('name', FITS)
def test_a_fit_on_a_gpu_equals_that_on_the_cpu_without_a_trip_per_batch(name):
    expected = FITS[name](lambda tensor: tensor, 4, lambda: None)
    trips = {}
    with fake_cuda() as cuda:
        for number in (2, 4):
            counts = []
            before = len(cuda.trips)
            found = FITS[name](cuda, number, lambda counts=counts, before=before: counts.append(
                cuda.trips[before:]))
            trips[number] = counts
        for few, many in zip(trips[2], trips[4], strict=True):
            assert few == many
        same({key: None if value is None else value.cpu() for key, value in found.items()}, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.parametrize('name', FITS)
def test_a_fit_on_a_card_equals_that_on_the_cpu(name):
    same(FITS[name](lambda tensor: tensor.cuda(), 4, lambda: None), FITS[name](lambda tensor: tensor, 4, lambda: None))


def test_inner_loops_read_nothing():
    """Nothing is computed here, and what reads a value raises."""
    with no_sync():
        points = torch.randn(700, 8, device='cuda')
        sums, sizes, changed = DenseLloyd(points, points[:9]).assign()
        assert sums.device.type == sizes.device.type == changed.device.type == 'cuda'
        assert dense_nearest(points, points[:9]).shape == (700, )
        moments = Moments()
        moments.update(points)
        sample = TokenSample(600)
        sample.update('a', points)
        sample.update_masked('b', points, torch.arange(700, device='cuda'), points[:, 0] > 0)
        assert search(points[:5], points, 3)[1].shape == (5, 3)


def test_the_checks_fail_where_a_fit_asks_per_batch(monkeypatch):
    monkeypatch.setattr(LateChecks, 'add', lambda self, faults, message: bool(faults))
    with pytest.raises(AssertionError):
        test_a_fit_on_a_gpu_equals_that_on_the_cpu_without_a_trip_per_batch('head')
    with fake_cuda() as cuda, cuda.strict(), pytest.raises(HostTripError):
        Moments().update(cuda(torch.ones(2, 2)))


@pytest.mark.parametrize('spherical', [False, True])
def test_dense_steps_of_kmeans_equal_those_with_bounds(spherical):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(900, 6, generator=generator) + 3 * torch.randn(20, 6, generator=generator).repeat(45, 1)
    bounded, dense = (kind(points, points[:40].clone(), spherical) for kind in (Lloyd, DenseLloyd))
    for _ in range(20):
        bounded.run(1)
        dense.run(1)
        assert torch.equal(dense.labels, bounded.labels)
        torch.testing.assert_close(dense.centroids, bounded.centroids, rtol=1e-5, atol=1e-6)
    assert dense.objective() == pytest.approx(bounded.objective(), rel=1e-6)
    twice = torch.cat([bounded.centroids, bounded.centroids])
    assert torch.equal(dense_nearest(points, twice, spherical), nearest(points, bounded.centroids, spherical))


def test_dense_steps_fill_empty_clusters_and_blocks_change_nothing(monkeypatch):
    points = torch.cat([torch.linspace(0, 1, 30), torch.tensor([50., 51.])])[:, None]
    start = torch.tensor([[0.], [50.], [1000.]])
    expected = Lloyd(points, start).run(20)
    monkeypatch.setattr('leopart_mm.clustering.dense_lloyd.BLOCK', 3 * 256)
    found = DenseLloyd(points.repeat(20, 1), start).run(20)
    assert torch.equal(found.labels, expected.labels.repeat(20))
    torch.testing.assert_close(found.centroids, expected.centroids)
    assert found.converged


def test_kmeans_on_a_gpu_reads_once_per_step():
    points = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    expected = kmeans(points, 6, iterations=8, redo=3)
    with fake_cuda() as cuda:
        found = kmeans(cuda(points), 6, iterations=8, redo=3)
        assert len(cuda.trips) <= 1 + 3 * (8 + 1)
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(assign(cuda(points), found).cpu(), assign(points, expected))


def test_a_masked_sample_on_a_gpu_is_that_on_the_cpu():
    generator = torch.Generator().manual_seed(0)
    images = [(torch.randn(30, 2, generator=generator), torch.randint(0, 30, (200, ), generator=generator),
               torch.rand(200, generator=generator) < .4) for _ in range(40)]

    def sample(to):
        kept = TokenSample(60)
        for index, image in enumerate([*images, *images[:3]]):  # three come twice
            kept.update_masked(str(index % len(images)), *map(to, image))
        return kept.state()

    expected = sample(lambda tensor: tensor)
    with fake_cuda() as cuda:
        priorities, vectors = sample(cuda)
        assert (priorities == expected[0]).all()
        assert torch.equal(vectors.cpu(), expected[1])
        assert cuda.trips.count('cpu') < 15  # once per full buffer
        assert set(cuda.trips) <= {'cpu'}


def test_faults_are_named_at_the_end_of_a_pass():
    def broken(to):
        for number, batch in enumerate(batches(to, 2)):
            if number:
                batch.features.maps[0][1, 0, 2, 2] = torch.nan
            yield batch

    head = MODELS.build(dict(type='leopart_mm.OverclusterHead', num_clusters=2, pca_dim=2))
    with fake_cuda() as cuda, pytest.raises(ValueError, match='1 1: 1 of 42 feature vectors hold NaN'):
        head.fit(list(broken(cuda)))
    metric = ClusterMetric()
    metric.dataset_meta = dict(classes=['a', 'b'])
    with fake_cuda() as cuda:
        maps = cuda(torch.tensor([[[0, 7]]]))
        metric.process({}, [dict(pred_sem_seg=dict(data=maps % 2), gt_sem_seg=dict(data=maps), img_path='x.png')])
        with pytest.raises(ValueError, match=r'x.png: Label maps hold 1 pixels .* class is not in 0..1'):
            metric.evaluate(1)


def test_principal_masks_on_a_gpu_read_once_or_twice_per_round():
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(0, 6, (4, 3, 3), generator=generator).repeat_interleave(4, 1).repeat_interleave(4, 2)
    features = 3 * torch.randn(6, 60, generator=generator)[kinds].permute(0, 3, 1, 2)
    features = features + .4 * torch.randn(features.shape, generator=generator)
    expected = principal_masks(features)
    with fake_cuda() as cuda:
        found = principal_masks(cuda(features))
        rounds = max(map(len, expected)) + 1
        assert len(cuda.trips) <= 3 * rounds
        for one, other in zip(found, expected, strict=True):
            assert one.anchors.tolist() == other.anchors.tolist()
            torch.testing.assert_close(one.soft_masks.cpu(), other.soft_masks, rtol=1e-5, atol=1e-5)
        features[2, 0, 0, 0] = torch.inf
        with pytest.raises(ValueError, match='image 2 of the batch are NaN or infinite at 1 of 144'):
            principal_masks(cuda(features), PrincipalSettings())


def test_the_crf_on_a_gpu_waits_three_times_per_image():
    with fake_cuda() as cuda:
        image, logits = cuda(torch.zeros(9, 8, 3, dtype=torch.uint8)), cuda(torch.rand(3, 9, 8))
        dense_crf(logits, image)
        cuda.trips.clear()
        dense_crf(logits, image)
        assert cuda.trips == ['__int__', 'tolist', 'nonzero']


@pytest.mark.parametrize(('channels', 'cells'), [(60, 100), (60, 8), (10, 30), (6, 3)])
def test_leading_directions_on_a_gpu(channels, cells):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, cells, channels, dtype=torch.float64, generator=generator)
    values = values * torch.linspace(3, .3, channels)
    values[2] = 0
    values[3] *= 1e-9
    covariances = values.mT @ values
    expected, _ = leading_directions(covariances)
    with fake_cuda() as cuda:
        found, blocks = leading_directions(cuda(covariances))
        again, _ = leading_directions(cuda(covariances), blocks)
        assert len(cuda.trips) <= 6
        for directions in (found, again):
            cosines = (directions.cpu() * expected).sum(1).abs()
            assert directions.cpu()[2].norm() == pytest.approx(1)
            cosines[2] = 1  # all directions are right
            torch.testing.assert_close(cosines, torch.ones_like(cosines), rtol=0, atol=1e-9)


def test_features_wait_on_the_gpu_where_it_has_room(monkeypatch):
    monkeypatch.setattr(cache_module, 'free_on', lambda device: 10**6 if torch.device(device).type == 'cuda' else -1)
    with fake_cuda() as cuda:
        kept = ImageCache()
        with cuda.strict():
            kept.put(['a', 'b'], dict(maps=cuda(torch.arange(6.).view(2, 3))))
            assert kept.chosen == 'device'
            assert kept.stack(['b', 'a'], 'maps', 'cuda').device.type == 'cuda'
        assert kept.get('b', 'maps').tolist() == [3, 4, 5]
    monkeypatch.setattr(cache_module, 'free_on', lambda device: -1)
    assert ImageCache().chosen == 'auto'
    assert cache_module.choose_place(1, 'cuda') in ('memory', 'disk')


def test_products_are_exact_whatever_the_user_allows():
    settings, before = torch.backends.cuda.matmul, torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision('high')
        with exact_products():
            assert settings.fp32_precision == 'ieee'
        assert settings.fp32_precision == 'tf32'
    finally:
        torch.set_float32_matmul_precision(before)
