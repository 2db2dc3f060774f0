import pytest
import torch

from leopart_mm.models.backbones.image_size import check_size_mode, fit_to_patches

IMAGE = torch.arange(2 * 1 * 5 * 7, dtype=torch.float32).view(2, 1, 5, 7)


@pytest.mark.parametrize('mode', ['pad', 'resize', 'drop'])
def test_a_divisible_image_is_untouched(mode):
    image = IMAGE[..., :4, :6]
    assert fit_to_patches(image, 2, mode) is image


def test_pad_adds_zeros_at_the_bottom_and_right():
    padded = fit_to_patches(IMAGE, 4, 'pad')
    assert padded.shape == (2, 1, 8, 8)
    assert torch.equal(padded[..., :5, :7], IMAGE)
    assert padded[..., 5:, :].abs().sum() == 0
    assert padded[..., 7:].abs().sum() == 0


def test_resize_goes_to_the_next_multiple_without_changing_a_constant():
    resized = fit_to_patches(torch.full((1, 3, 5, 7), 2.5), 4, 'resize')
    torch.testing.assert_close(resized, torch.full((1, 3, 8, 8), 2.5))


def test_drop_cuts_the_rest_off():
    assert torch.equal(fit_to_patches(IMAGE, 4, 'drop'), IMAGE[..., :4, :4])
    with pytest.raises(ValueError, match="holds no patch of 6x6; use size_mode='pad'"):
        fit_to_patches(IMAGE, 6, 'drop')


def test_unknown_mode_lists_the_allowed_ones():
    with pytest.raises(ValueError, match=r"'crop' is unknown.*'pad'.*'resize'.*'drop'"):
        check_size_mode('crop')
