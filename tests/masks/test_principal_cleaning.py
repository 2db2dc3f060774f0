"""From soft masks to label maps."""

import math

import pytest
import torch

from leopart_mm.masks.principal import PrincipalSettings
from leopart_mm.masks.principal_cleaning import apply_prior, clean_masks, mask_log_probs, proposal_labels

DEFAULT, PUBLISHED = PrincipalSettings(), PrincipalSettings.published()


def test_a_cell_stays_if_five_of_nine_belong_to_the_mask():
    soft = torch.zeros(1, 5, 5)
    soft[0, :3, :3] = 0.5  # its corner (2, 2) has four cells
    expected = torch.zeros(1, 5, 5)
    expected[0, :3, :3] = 1
    expected[0, 2, 2] = 0
    assert torch.equal(clean_masks(soft), expected)


@pytest.mark.parametrize('shape', [(2, 1, 1), (2, 1, 6), (2, 6, 1), (0, 4, 4)])
def test_small_maps_keep_their_shape(shape):
    assert torch.equal(clean_masks(torch.ones(shape)), torch.ones(shape))


def two_masks():
    soft = torch.zeros(2, 6, 9)
    soft[0, :, :3], soft[1, :, 3:6] = 0.7, 1
    return soft


def test_log_probabilities_are_those_of_the_softmax_of_binary_masks():
    found = mask_log_probs(two_masks(), DEFAULT)
    high, low = math.e / (math.e + 2), 1 / (math.e + 2)
    for channel, columns in enumerate((slice(6, 9), slice(0, 3), slice(3, 6))):
        expected = torch.full((6, 9), low)
        expected[:, columns] = high
        torch.testing.assert_close(found[channel].exp(), expected)


def test_the_background_of_a_single_mask():
    soft = torch.zeros(1, 6, 6)
    soft[0, :3] = 1
    assert mask_log_probs(soft, DEFAULT)[0].exp()[5, 0] == pytest.approx(math.e / (math.e + 1))
    assert mask_log_probs(soft, PUBLISHED)[0].exp()[5, 0] == pytest.approx(0.5)


def test_masks_that_are_all_erased_leave_background():
    soft = torch.zeros(3, 6, 6)
    soft[0, 0, 0] = soft[1, 2, 2] = soft[2, 4, 4] = 1
    found = mask_log_probs(soft, DEFAULT)
    assert (found.argmax(0) == 0).all()
    assert found.isfinite().all()
    assert mask_log_probs(soft, PUBLISHED).isnan().any()
    image = torch.zeros(12, 12, 3, dtype=torch.uint8)
    for settings in (DEFAULT, PUBLISHED):
        assert (proposal_labels(mask_log_probs(soft, settings), image) == 255).all()


@pytest.mark.parametrize('settings', [DEFAULT, PUBLISHED])
def test_without_a_mask_all_is_ignored_and_no_crf_runs(settings):
    found = mask_log_probs(torch.zeros(0, 4, 4), settings)
    assert torch.equal(found, torch.zeros(1, 4, 4))
    labels = proposal_labels(found, torch.zeros(8, 8, 3, dtype=torch.uint8), crf=None, ignore=27)
    assert torch.equal(labels, torch.full((8, 8), 27))


def test_labels_are_mask_numbers_at_pixels():
    log_probs, image = mask_log_probs(two_masks(), DEFAULT), torch.zeros(12, 18, 3, dtype=torch.uint8)
    labels = proposal_labels(log_probs, image)
    assert torch.equal(labels[0], torch.tensor([1] * 6 + [2] * 6 + [255] * 6))
    seen = []

    def crf(given, pixels):
        seen.append((given, pixels))
        return torch.zeros(3, 12, 18)  # equal: the first wins, which is the background

    assert (proposal_labels(log_probs, image, crf) == 255).all()
    assert seen[0][0] is log_probs
    assert seen[0][1] is image


def test_a_prior_gives_every_mask_its_class():
    labels = torch.tensor([[1, 1, 1, 2, 2, 255]])
    assert apply_prior(labels, torch.tensor([[2, 5, 5, 2, 1, 1]])).tolist() == [[5, 5, 5, 1, 1, 255]]
    assert torch.equal(apply_prior(labels, torch.zeros(1, 6, dtype=torch.long)), labels)
