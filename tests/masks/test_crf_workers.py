import pytest
import torch

from leopart_mm.masks.crf import CRFSettings, dense_crf
from leopart_mm.masks.crf_workers import CRFWorkers, crf_images
from tests.masks.test_crf import scene


def items():
    """Images of several sizes, one of two variants."""
    yield scene(10, 12, seed=1)
    log_probs, image = scene(30, 20, labels=5, seed=2)
    yield torch.stack([log_probs, log_probs.flip(0)]), image
    for seed in range(3, 9):
        yield scene(8, 9, seed=seed)


def test_any_number_of_workers_gives_the_same_in_order():
    settings = CRFSettings(iterations=4)
    expected = [dense_crf(*item, settings) for item in items()]
    for found in (list(crf_images(items(), settings)), list(crf_images(items(), settings, workers=2))):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_workers_stay_and_name_the_wrong_image():
    wrong, image = scene(seed=1)
    wrong[0, 0, 0] = float('nan')
    for workers in (0, 1):
        with CRFWorkers(workers=workers, labels=True) as pool:
            with pytest.raises(ValueError, match=r'Image 2 of those given to the CRF: .* NaN'):
                list(pool.map([scene(), scene(), (wrong, image)]))
            labels, = pool.map([scene()])
            assert torch.equal(labels, dense_crf(*scene()).argmax(0))
            pid = pool._pool and next(iter(pool._pool._pool._processes))
            assert next(pool.map(iter([scene(), scene()]))).shape == (14, 18)  # not read to the end
            assert pid == (pool._pool and next(iter(pool._pool._pool._processes)))


def test_negative_workers_are_refused():
    with pytest.raises(ValueError, match='workers=-1'):
        CRFWorkers(workers=-1)


def test_items_are_read_no_further_than_needed():
    read = []

    def stream():
        for number in range(10):
            read.append(number)
            yield scene(4, 5)

    results = crf_images(stream())
    next(results)
    assert read == [0]
