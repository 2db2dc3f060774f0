import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.decode_heads import NotFittedError, RetrievalHead
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from tests.distributed import run_distributed

CHANNELS, GRID, PATCH, CLASSES = 8, (3, 4), 4, 5


def data(images=6, seed=0, void=0.1):
    """Feature maps (B, C, h, w) and label maps (B, H, W) with some void pixels."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(images, CHANNELS, *GRID, generator=generator)
    labels = torch.randint(0, CLASSES, (images, GRID[0] * 2, GRID[1] * 2), generator=generator)
    labels = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    labels[torch.rand(labels.shape, generator=generator) < void] = 255
    return maps, labels


def stream_of(maps, labels, batch=2, extent=None, names=None):
    batches = []
    for start in range(0, len(maps), batch):
        part = maps[start:start + batch]
        samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in labels[start:start + batch]]
        own = [f'image_{index}' for index in range(start, start + len(part))] if names is None else names
        box = [extent or (0, GRID[0], 0, GRID[1])] * len(part)
        batches.append(FeatureBatch(DenseFeatures((part, ), GRID), samples, own, box))
    return batches


def make_head(**kwargs):
    return RetrievalHead(**dict(dict(num_classes=CLASSES, k=3), **kwargs))


def brute_force(query, maps, labels, k, temperature=0.02, count=None):
    """Soft label of one query from all patches, one by one, in float64 NumPy."""
    found = []
    for features, truth in zip(maps.numpy().astype(float), labels.numpy(), strict=True):
        for row in range(GRID[0]):
            for column in range(GRID[1]):
                patch = truth[row * PATCH:(row + 1) * PATCH, column * PATCH:(column + 1) * PATCH]
                valid = patch[patch != 255]
                if len(valid):
                    key = features[:, row, column]
                    cosine = key @ query / np.linalg.norm(key) / np.linalg.norm(query)
                    found.append((cosine, np.bincount(valid, minlength=CLASSES) / len(valid)))
    found.sort(key=lambda one: -one[0])
    weights = np.exp(np.array([cosine for cosine, _ in found[:k]]) / temperature)
    return (weights[:, None] * np.array([soft for _, soft in found[:k]])).sum(0) / weights.sum()


@pytest.mark.parametrize('index', ['auto', 'torch', 'faiss', 'ivf'])
def test_soft_labels_equal_brute_force(index):
    maps, labels = data()
    head = make_head(index=index, k=5)
    head.fit(stream_of(maps, labels))
    queries, unseen = data(2, seed=1)
    soft = head((queries, ))
    assert soft.shape == (2, CLASSES, *GRID)
    for image in range(2):
        for row, column in ((0, 0), (2, 3), (1, 2)):
            expected = brute_force(queries[image, :, row, column].numpy().astype(float), maps, labels, 5)
            np.testing.assert_allclose(soft[image, :, row, column], expected, atol=1e-5)
    prediction = head.predict(stream_of(queries, unseen, batch=2)[0])
    assert torch.equal(prediction.scores[0], soft)
    assert prediction.num_labels == CLASSES
    torch.testing.assert_close(soft.sum(1), torch.ones(2, *GRID))


def test_memory_holds_unit_keys_and_one_byte_counts():
    maps, labels = data(void=0.)
    head = make_head()
    head.fit(stream_of(maps, labels, batch=4))
    torch.testing.assert_close(head.keys, F.normalize(maps.permute(0, 2, 3, 1).reshape(-1, CHANNELS), dim=1))
    assert head.counts.dtype == torch.uint8
    assert (head.counts.sum(1) == PATCH**2).all()
    assert head.counts[5].tolist() == torch.bincount(labels[0, 4:8, 4:8].flatten(), minlength=CLASSES).tolist()
    assert head.info == dict(images=6, void_images=0, patches=72, rows=72, passes=1, channels=CHANNELS)
    # 32 x 32 pixels a patch do not fit into a byte
    head.fit(stream_of(maps, labels.repeat_interleave(8, 1).repeat_interleave(8, 2)))
    assert head.counts.dtype == torch.int16
    assert (head.counts.sum(1) == 1024).all()


def test_label_maps_of_another_size_are_counted_where_they_lie():
    maps, labels = data(void=0.)
    heads = [make_head(), make_head()]
    heads[0].fit(stream_of(maps, labels))
    heads[1].fit(stream_of(maps, labels.repeat_interleave(3, 1).repeat_interleave(5, 2)))
    assert torch.equal(heads[1].counts, heads[0].counts.to(torch.uint8) * 15)
    assert torch.equal(heads[0]((maps, )), heads[1]((maps, )))


def test_void_pixels_are_excluded_or_become_class_0():
    maps, labels = data(1, void=0.)
    labels[0, :4, :4] = 255  # patch 0: void as a whole
    labels[0, :4, 4:6] = 255  # patch 1: a half
    labels[0, :4, 6:8] = 3
    head = make_head(k=1)
    head.fit(stream_of(maps, labels))
    assert (head.info['patches'], head.info['rows']) == (11, 11)
    assert head.counts[0].tolist() == [0, 0, 0, 8, 0]
    assert head((maps, ))[0, :, 0, 1].tolist() == [0, 0, 0, 1, 0]
    published = make_head(k=1, void='class0')
    published.fit(stream_of(maps, labels))
    assert published.counts[:2].tolist() == [[16, 0, 0, 0, 0], [8, 0, 0, 8, 0]]
    # a data set whose class 0 is ignored (ADE20K)
    labels[0, :4, :8], labels[0, :4, 6:8] = 0, 3
    other = make_head(k=1, ignore_index=0)
    other.fit(stream_of(maps, labels))
    assert other.counts[:, 0].sum() == 0
    assert other.counts[0].tolist() == [0, 0, 0, 8, 0]
    published = make_head(k=1, ignore_index=0, void='class0')
    published.fit(stream_of(maps, labels))
    assert published.counts[:2].tolist() == [[16, 0, 0, 0, 0], [8, 0, 0, 8, 0]]


def test_bounded_memory_takes_equal_parts_and_rare_classes_first():
    maps, labels = data(4, void=0.)
    labels[:] = 1
    labels[:, :4, :4] = 2  # one rare patch an image
    head = make_head(memory_size=23, passes=2)
    head.fit(stream_of(maps, labels))
    assert len(head.keys) == 4 * 2 * (23 // 8)
    # score 1 against 11, times a uniform number: the rare patch is among two of twelve nearly always
    assert (head.counts[:, 2] > 0).sum() >= 6
    again = make_head(memory_size=23, passes=2)
    again.fit(stream_of(maps, labels, batch=3))
    assert torch.equal(again.keys, head.keys)  # whatever the batches
    other = make_head(memory_size=23, passes=2, seed=1)
    other.fit(stream_of(maps, labels))
    assert not torch.equal(other.keys, head.keys)
    assert not torch.equal(head.keys[:8], head.keys[8:])  # passes draw differently


def test_memories_that_are_too_small_or_too_large():
    maps, labels = data(4, void=0.)
    small = make_head(memory_size=2)
    small.fit(stream_of(maps, labels))
    assert small.info['rows'] == 4  # an image gives at least one patch
    large = make_head(memory_size=10**6)
    large.fit(stream_of(maps, labels))
    assert large.info['rows'] == 48  # all there is
    whole = make_head()
    whole.fit(stream_of(maps, labels))
    torch.testing.assert_close(large((maps, )), whole((maps, )))


def test_cells_of_padding_are_not_kept():
    maps, labels = data(2, void=0.)
    maps[:, :, 2:] = 1e4
    head = make_head()
    head.fit(stream_of(maps, labels[:, :6], extent=(0, 1.5, 0, 4)))
    assert head.info['rows'] == 2 * 8
    assert (head.counts.sum(1).view(2, 2, 4)[:, 1] == 2 * 4).all()  # the cut patches hold half of the pixels


def test_half_precision_keys_keep_the_neighbours():
    maps, labels = data(40)
    heads = [make_head(k=10), make_head(k=10, key_dtype='float16')]
    for head in heads:
        head.fit(stream_of(maps, labels))
    assert heads[1].keys.dtype == torch.float16
    torch.testing.assert_close(heads[1]((maps, )), heads[0]((maps, )), atol=0.02, rtol=0)


def test_state_loads_into_a_new_head_and_class_counts_must_fit():
    maps, labels = data()
    head = make_head(memory_size=30)
    head.fit(stream_of(maps, labels))
    other = make_head(k=4)
    other.load_state_dict(head.state_dict(), strict=False)
    assert other.is_fitted
    assert other.info == head.info
    other.k = 3
    assert torch.equal(other((maps, )), head((maps, )))
    with pytest.raises(ValueError, match=r'num_classes=5 \(config: 7\)'):
        make_head(num_classes=7).load_state_dict(head.state_dict(), strict=False)
    state = head.state_dict()
    del state['counts']
    with pytest.raises(ValueError, match='counts is missing'):
        make_head().load_state_dict(state, strict=False)


def test_bad_input_is_named():
    maps, labels = data()
    with pytest.raises(NotFittedError, match='FitTestLoop'):
        make_head()((maps, ))
    with pytest.raises(ValueError, match='73 neighbours cannot be found among 72 keys'):
        make_head(k=73).fit(stream_of(*data(void=0.)))
    with pytest.raises(ValueError, match='no image'):
        make_head().fit([])
    with pytest.raises(ValueError, match=r'image_0: .*class ids \[4\], but only 0\.\.3 exist'):
        make_head(num_classes=4).fit(stream_of(maps, labels))
    with pytest.raises(ValueError, match='None of the pixels of 6 images has a class'):
        make_head().fit(stream_of(maps, torch.full_like(labels, 255)))
    for samples in (None, [SegDataSample()] * 2):
        batch = stream_of(maps[:2], labels[:2])[0]
        batch.data_samples = samples
        with pytest.raises(ValueError, match=r'image_0 has no labels.*LoadAnnotations'):
            make_head().fit([batch])
    head = make_head()
    head.fit(stream_of(maps, labels))
    with pytest.raises(ValueError, match='keys of 8 channels, but the backbone gives 5'):
        head((maps[:, :5], ))
    with pytest.raises(NotImplementedError, match='no loss'):
        head.loss()
    for settings, message in ((dict(k=0), 'k must be'), (dict(temperature=0.), 'temperature'),
                              (dict(void='drop'), "void='drop'"), (dict(index='scann'), 'auto, torch, faiss, ivf'),
                              (dict(memory_size=-1), 'memory_size'), (dict(key_dtype='int8'), 'float16')):
        with pytest.raises(ValueError, match=message):
            make_head(**settings)
    maps[3, 0, 0, 0] = float('nan')
    with pytest.raises(ValueError, match='image_3: features hold NaN'):
        make_head().fit(stream_of(maps, labels))


def test_an_image_of_void_alone_gives_nothing():
    maps, labels = data(void=0.)
    labels[2] = 255
    for memory_size in (None, 12):
        head = make_head(memory_size=memory_size)
        head.fit(stream_of(maps, labels))
        assert head.info['void_images'] == 1
        assert head.info['rows'] == (60 if memory_size is None else 10)


def _shard(case):
    import torch.distributed as dist
    rank, world = dist.get_rank(), dist.get_world_size()
    maps, labels = data(5)
    batches = stream_of(maps, labels, batch=1)[rank::world]
    if case == 'unlabelled' and rank == 1:
        batches[1].data_samples = None
    if case == 'one empty':
        batches = stream_of(maps, labels, batch=1) if rank == 0 else []
    head = make_head(memory_size=25 if case == 'bounded' else None, k=7)
    if case == 'wide' and rank == 1:
        for batch in batches:
            large = batch.data_samples[0].gt_sem_seg.data.repeat_interleave(20, 1)
            batch.data_samples[0].gt_sem_seg = PixelData(data=large)
    try:
        head.fit(batches)
    except ValueError as error:
        return str(error)
    queries, _ = data(3 if rank else 2, seed=1)  # unequal batches
    state = head.gathered_state()
    return head((queries, )).numpy(), head.info, None if state is None else len(state['keys'])


@pytest.mark.slow
@pytest.mark.parametrize('case', ['whole', 'bounded', 'one empty', 'wide'])
def test_two_processes_retrieve_what_one_does(case):
    head = make_head(memory_size=25 if case == 'bounded' else None, k=7)
    head.fit(stream_of(*data(5), batch=1))
    for rank, (soft, info, rows) in enumerate(run_distributed(_shard, 2, case)):
        np.testing.assert_allclose(soft, head((data(3 if rank else 2, seed=1)[0], )), atol=1e-6)
        assert info == head.info
        assert rows == (None if rank else len(head.keys))


@pytest.mark.slow
def test_processes_share_errors():
    assert all('image_3 has no labels' in message for message in run_distributed(_shard, 2, 'unlabelled'))
