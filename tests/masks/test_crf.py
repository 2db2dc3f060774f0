import sys

import numpy as np
import pytest
import torch

from leopart_mm.masks import crf as crf_module
from leopart_mm.masks import crf_exact, crf_lattice
from leopart_mm.masks.crf import CRFSettings, crf_unary, dense_crf, mean_field, to_bytes, truncate_bytes
from leopart_mm.masks.crf_exact import exact_messages

BACKENDS = ('lattice', 'exact')


def scene(height=14, width=18, labels=3, seed=0):
    """An image of two colours with noise, and log-probabilities that follow the edge roughly."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((height, width, 3), 60)
    image[:, width // 2:] = 180
    image = (image + torch.randint(-6, 7, image.shape, generator=generator)).to(torch.uint8)
    logits = torch.randn(labels, height, width, generator=generator)
    logits[0, :, :width // 2] += 1.5
    logits[min(1, labels - 1), :, width // 2:] += 1.5
    return logits.log_softmax(0), image


def reference(log_probs, image, settings):
    """Spec §5.1 pixel by pixel, in numpy."""
    labels, height, width = log_probs.shape
    unary = -np.log(np.clip(np.exp(log_probs.double().numpy()), 1e-5, 1)).reshape(labels, -1)
    pixels = [(x, y, *image[y, x].tolist()) for y in range(height) for x in range(width)]
    kernels = []
    for weight, deviations in ((settings.smooth_weight, (settings.smooth_xy, ) * 2),
                               (settings.appearance_weight, (settings.appearance_xy, ) * 2 +
                                (settings.appearance_rgb, ) * 3)):
        matrix = np.array([[np.exp(-0.5 * sum((p - q)**2 / s**2 for p, q, s in zip(a, b, deviations, strict=False)))
                            for b in pixels] for a in pixels])
        norm = (matrix.sum(1) + 1e-20)**-0.5
        kernels.append(weight * norm[:, None] * matrix * norm)
    marginals = np.exp(-unary) / np.exp(-unary).sum(0)
    for _ in range(settings.iterations):
        logits = -unary + sum(marginals @ kernel for kernel in kernels)
        marginals = np.exp(logits) / np.exp(logits).sum(0)
    return marginals.reshape(log_probs.shape)


def test_exact_is_the_formula():
    settings = CRFSettings(iterations=3, smooth_weight=2., smooth_xy=1.5, appearance_weight=5., appearance_xy=4.,
                           appearance_rgb=20., backend='exact')
    log_probs, image = scene(5, 7)
    np.testing.assert_allclose(dense_crf(log_probs, image, settings), reference(log_probs, image, settings), atol=2e-6)


def test_two_pixels_by_hand():
    """Two equal pixels at distance 1 under the smoothness kernel alone: k = exp(-1/2), rows sum to 1 + k."""
    k = np.exp(-0.5)
    first, second = np.array([0.9, 0.1]), np.array([0.4, 0.6])
    logits = np.log(first) + 3 * (first + k * second) / (1 + k)
    expected = np.exp(logits) / np.exp(logits).sum()
    log_probs = torch.from_numpy(np.log(np.stack([first, second], 1)))[:, None]
    settings = CRFSettings(iterations=1, appearance_weight=0., backend='exact')
    found = dense_crf(log_probs, torch.zeros(1, 2, 3, dtype=torch.uint8), settings)
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-6)


@pytest.mark.parametrize('backend', BACKENDS)
def test_it_removes_noise_and_keeps_the_edge(backend):
    log_probs, image = scene(24, 30)
    labels = dense_crf(log_probs, image, CRFSettings(backend=backend)).argmax(0)
    assert (log_probs.argmax(0)[:, :15] == 0).float().mean() < 0.9
    assert (labels[:, :15] == 0).all()
    assert (labels[:, 15:] == 1).all()


@pytest.mark.parametrize('backend', BACKENDS)
def test_variants_together_give_what_each_gives_alone(backend):
    maps, image = zip(*(scene(labels=4, seed=seed) for seed in range(3)), strict=True)
    settings = CRFSettings(backend=backend)
    together = dense_crf(torch.stack(maps), image[0], settings)
    for one, found in zip(maps, together, strict=True):
        torch.testing.assert_close(dense_crf(one, image[0], settings), found, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.sum(1), torch.ones(3, 14, 18), rtol=0, atol=1e-5)


def test_the_number_of_threads_does_not_matter():
    log_probs, image = scene(40, 50)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(dense_crf(log_probs, image))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


def test_exact_memory_is_bounded_without_a_change(monkeypatch):
    log_probs, image = scene()
    values = log_probs.flatten(1).T.contiguous()
    found = []
    for entries in (1 << 24, 1000):
        monkeypatch.setattr(crf_exact, 'BLOCK_ENTRIES', entries)
        found.append(torch.zeros_like(values))
        exact_messages(image, CRFSettings())(values, found[-1])
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('size', [(1, 9), (9, 1), (1, 1), (2, 2)])
def test_thin_and_tiny_images(size, backend):
    log_probs, image = scene(*size)
    found = dense_crf(log_probs, image, CRFSettings(backend=backend))
    assert found.shape == (3, *size)
    torch.testing.assert_close(found.sum(0), torch.ones(size), rtol=0, atol=1e-5)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('value', [0, 128, 255])
def test_an_image_of_one_colour(value, backend):
    """The appearance kernel is then one over positions; equal probabilities everywhere stay equal."""
    image = torch.full((6, 8, 3), value, dtype=torch.uint8)
    found = dense_crf(torch.zeros(4, 6, 8), image, CRFSettings(backend=backend))
    torch.testing.assert_close(found, torch.full((4, 6, 8), 0.25), rtol=0, atol=1e-6)


@pytest.mark.parametrize('backend', BACKENDS)
def test_one_label_is_certain(backend):
    log_probs, image = scene(labels=1)
    assert torch.equal(dense_crf(log_probs, image, CRFSettings(backend=backend)), torch.ones(1, 14, 18))


@pytest.mark.parametrize('backend', BACKENDS)
def test_no_iteration_gives_the_probabilities(backend):
    log_probs, image = scene()
    found = dense_crf(log_probs, image, CRFSettings(iterations=0, backend=backend))
    torch.testing.assert_close(found, log_probs.exp(), rtol=0, atol=1e-5)


def test_without_kernels_the_probabilities_stay():
    log_probs, image = scene()
    found = dense_crf(log_probs, image, CRFSettings(smooth_weight=0, appearance_weight=0))
    torch.testing.assert_close(found, log_probs.exp(), rtol=0, atol=1e-5)


def test_very_large_weights_do_not_overflow():
    log_probs, image = scene()
    found = dense_crf(log_probs, image, CRFSettings(smooth_weight=1e5))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.sum(0), torch.ones(14, 18), rtol=0, atol=1e-5)


def test_maps_of_another_size_are_brought_to_the_image():
    log_probs, image = scene(12, 16)
    small = log_probs[:, ::4, ::4]
    large = torch.nn.functional.interpolate(small[None], (12, 16), mode='bilinear', align_corners=False)[0]
    assert torch.equal(dense_crf(small, image), dense_crf(large, image))


def test_unary_of_certain_and_impossible_labels():
    certain = torch.tensor([0., -torch.inf])[:, None, None].expand(2, 2, 2)
    expected = torch.tensor([0., -np.log(1e-5)]).float()[:, None, None].expand(2, 4, 4)
    torch.testing.assert_close(crf_unary(certain, (4, 4)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite_are_refused(value):
    log_probs, image = scene()
    log_probs[1, 2, 3] = value
    with pytest.raises(ValueError, match='NaN or infinite at 1 of 252 cells'):
        dense_crf(log_probs, image)
    log_probs[:, 2, 3] = -torch.inf
    with pytest.raises(ValueError, match='NaN or infinite'):
        dense_crf(log_probs, image)


def test_wrong_shapes_and_types_are_refused():
    log_probs, image = scene()
    for wrong in (log_probs[0], log_probs[None, None], log_probs[:0]):
        with pytest.raises(ValueError, match=r'\(L, h, w\) or \(S, L, h, w\)'):
            dense_crf(wrong, image)
    for wrong in (image.float(), image.movedim(2, 0), image[..., :1], image[:0]):
        with pytest.raises(ValueError, match=r'\(H, W, 3\) of uint8'):
            dense_crf(log_probs, wrong)


def test_more_labels_than_memory_are_refused():
    labels = torch.zeros(1, 1, 1).expand(20_000_000, 2, 2)
    with pytest.raises(MemoryError, match=r'20000000 maps .* fewer labels'):
        dense_crf(labels, torch.zeros(1000, 1000, 3, dtype=torch.uint8))


@pytest.mark.parametrize(('name', 'value'), [
    ('iterations', -1), ('smooth_weight', -1.), ('appearance_weight', float('nan')), ('smooth_xy', 0.),
    ('appearance_xy', float('inf')), ('appearance_rgb', -3.), ('min_probability', 0.), ('bytes', 'floor'),
    ('backend', 'grid')])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f'CRFSettings: {name}='):
        CRFSettings(**{name: value})


def test_a_lattice_of_too_many_cells_is_refused():
    log_probs, image = scene()
    with pytest.raises(ValueError, match='larger standard deviations'):
        dense_crf(log_probs, image, CRFSettings(appearance_rgb=0.01, appearance_xy=0.001))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pydensecrf.densecrf', None)
    log_probs, image = scene()
    with pytest.raises(ImportError, match="backend='lattice'"):
        dense_crf(log_probs, image, CRFSettings(backend='pydensecrf'))


def test_the_library_gives_the_same_as_our_lattice():
    pytest.importorskip('pydensecrf.densecrf')
    log_probs, image = scene(24, 32)
    library = dense_crf(log_probs[None], image, CRFSettings(backend='pydensecrf'))
    torch.testing.assert_close(dense_crf(log_probs[None], image), library, rtol=0, atol=5e-4)


def test_lattices_of_positions_are_kept_up_to_a_number_of_pixels(monkeypatch):
    monkeypatch.setattr(crf_lattice, 'KEPT_PIXELS', 200)
    monkeypatch.setattr(crf_lattice, '_kept', crf_lattice.OrderedDict())
    first = crf_lattice.position_lattice((10, 10), 1., 3., torch.device('cpu'))
    assert crf_lattice.position_lattice((10, 10), 1., 3., torch.device('cpu')) is first
    crf_lattice.position_lattice((9, 10), 1., 3., torch.device('cpu'))
    assert crf_lattice.position_lattice((10, 10), 1., 3., torch.device('cpu')) is first
    crf_lattice.position_lattice((8, 10), 1., 3., torch.device('cpu'))  # the one of 9 x 10 goes
    assert {size for size, *_ in crf_lattice._kept} == {(10, 10), (8, 10)}
    crf_lattice.position_lattice((20, 20), 1., 3., torch.device('cpu'))
    assert not crf_lattice._kept, 'one that is larger than all is not kept'


def test_bytes_come_back_and_the_published_round_trip_lowers_some():
    image = torch.arange(256, dtype=torch.uint8)[:, None, None].expand(256, 2, 3)
    mean, std = (torch.tensor(values)[:, None, None] for values in (crf_module.IMAGENET_MEAN, crf_module.IMAGENET_STD))
    normalised = (image.movedim(2, 0).float() / 255 - mean) / std
    assert torch.equal(to_bytes(normalised), image)
    assert torch.equal(to_bytes(normalised[None])[0], image)
    lower = image[:, 0].int() - truncate_bytes(image)[:, 0].int()
    assert lower[:, 0].nonzero()[:, 0].tolist() == [1, 2, 3, *range(5, 60), 61, 64, 65, 242]
    assert set(lower.unique().tolist()) == {0, 1}
    assert to_bytes(torch.tensor([-9., 9., 0.])[:, None, None])[0, 0].tolist()[:2] == [0, 255]
    with pytest.raises(ValueError, match="mode='floor'"):
        to_bytes(normalised, mode='floor')


def test_mean_field_leaves_its_input_as_it_is():
    unary = torch.rand(6, 2, 3)
    before = unary.clone()
    found = mean_field(unary, lambda marginals, total: total.add_(marginals), 2)
    assert torch.equal(unary, before)
    marginals = (-unary).softmax(2)
    for _ in range(2):
        marginals = (marginals - unary).softmax(2)
    torch.testing.assert_close(found, marginals)
