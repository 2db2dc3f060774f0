import numpy as np
import pytest
import torch

from leopart_mm.clustering.token_sample import TokenSample, token_priorities

IMAGES = {f'image_{index}': torch.arange(20.)[:, None] + 100 * index for index in range(30)}


def sample_of(names, size=50, seed=0):
    sample = TokenSample(size, seed)
    for name in names:
        sample.update(name, IMAGES[name])
    return sample


def test_the_order_of_images_does_not_matter():
    names = list(IMAGES)
    first = sample_of(names).vectors
    assert first.shape == (50, 1)
    assert len(first.unique()) == 50
    assert torch.equal(first, sample_of(names[::-1]).vectors)
    assert not torch.equal(first, sample_of(names, seed=1).vectors)


@pytest.mark.parametrize('processes', [1, 2, 7])
def test_the_number_of_processes_does_not_matter(processes):
    names = list(IMAGES)
    states = [sample_of(names[rank::processes]).state() for rank in range(processes)]
    assert torch.equal(TokenSample.merged(states, 50).vectors, sample_of(names).vectors)


def test_a_repeated_image_counts_once_and_few_tokens_are_all_kept():
    sample = sample_of(['image_0', 'image_1', 'image_0'])
    assert sorted(sample.vectors.flatten().tolist()) == [*range(20), *range(100, 120)]


def test_every_token_is_equally_likely():
    counts = np.zeros(600)
    for seed in range(300):
        values = sample_of(IMAGES, 60, seed).vectors.flatten().long()
        counts[(values // 100 * 20 + values % 100).numpy()] += 1
    # 30 expected for each of 600; 4.5 standard deviations of a binomial
    assert abs(counts - 30).max() < 4.5 * np.sqrt(300 * .1 * .9)


def test_priorities_and_empty_samples():
    assert (token_priorities(0, 'a', 5)[:3] == token_priorities(0, 'a', 3)).all()
    assert TokenSample(3).state()[1].shape == (0, 0)
    with pytest.raises(ValueError, match='at least 1'):
        TokenSample(0)


def test_a_sample_beyond_the_memory_is_said_to_be():
    sample = TokenSample(10)
    sample._priorities = np.empty(2**20, np.int64)  # of a size whose vectors no machine holds
    with pytest.raises(MemoryError, match=r'1048576 vectors of 1073741824 channels takes 4503600 GB'):
        sample.update('a', torch.zeros(1, 1).expand(1, 2**30))
