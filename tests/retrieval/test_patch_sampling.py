import pytest
import torch

from leopart_mm.retrieval.patch_sampling import patch_scores, patch_uniforms, patches_per_image, sample_patches


def test_scores_by_hand():
    # class 0 is in three patches, class 1 in one, class 2 in two
    counts = torch.tensor([[4, 0, 0], [3, 1, 0], [1, 0, 3], [0, 0, 4], [0, 0, 0]])
    assert patch_scores(counts).tolist() == [3, 4, 5, 2, 0]
    assert patch_scores(torch.stack([counts, counts])).shape == (2, 5)


def test_the_smallest_products_win_in_order():
    scores, uniform = torch.tensor([3., 4, 5, 2]), torch.tensor([.5, .1, .1, .9])
    assert sample_patches(scores, uniform, 3).tolist() == [1, 2, 0]
    assert sample_patches(scores, uniform, 9).tolist() == [1, 2, 0, 3]
    assert sample_patches(torch.ones(3), torch.zeros(3), 2).tolist() == [0, 1]


def test_smaller_memories_are_parts_of_larger_ones():
    scores, uniform = torch.rand(50), torch.rand(50)
    assert sample_patches(scores, uniform, 20)[:7].tolist() == sample_patches(scores, uniform, 7).tolist()


def test_share_of_an_image():
    assert patches_per_image(1024 * 10**2, 10582, 2) == 4
    assert patches_per_image(100, 300, 1) == 1
    with pytest.raises(ValueError, match='num_images >= 1'):
        patches_per_image(100, 0, 1)


def test_uniforms_depend_on_seed_name_and_pass_alone():
    first = patch_uniforms(0, 'a.jpg', 0, 2000)
    assert torch.equal(first, patch_uniforms(0, 'a.jpg', 0, 2000))
    assert 0 <= first.min() < 0.01 < 0.99 < first.max() < 1
    assert abs(float(first.mean()) - 0.5) < 0.02
    for other in (patch_uniforms(1, 'a.jpg', 0, 2000), patch_uniforms(0, 'b.jpg', 0, 2000),
                  patch_uniforms(0, 'a.jpg', 1, 2000)):
        assert abs(float(torch.corrcoef(torch.stack([first, other]))[0, 1])) < 0.1
