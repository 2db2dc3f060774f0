import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image, ImageFilter

from leopart_mm.datasets.transforms import photometric_opencv
from leopart_mm.datasets.transforms import photometric_parameters as columns
from leopart_mm.datasets.transforms.photometric import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    augment,
)
from leopart_mm.datasets.transforms.photometric_parameters import ORDERS, draw_photometric
from leopart_mm.datasets.transforms.pil_blur import pil_blur_kernel


def smooth_picture(seed=0, side=48):
    """A PIL image of soft colours and some flat grey, black and white."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    pixels = np.array(Image.fromarray(small).resize((side, side), Image.BICUBIC))
    pixels[:4], pixels[4:8], pixels[8:12] = 0, 255, 128
    return Image.fromarray(pixels)


def tensor_of(picture):
    return TF.to_tensor(picture)[None]


def row(brightness=1., contrast=1., saturation=1., hue=0., order=0, grey=0., sigma=0.):
    return torch.tensor([[brightness, contrast, saturation, hue, order, grey, sigma]])


OPERATIONS = [(adjust_brightness, TF.adjust_brightness, (0., 0.2, 1.3, 1.8)),
              (adjust_contrast, TF.adjust_contrast, (0., 0.2, 1.3, 1.8)),
              (adjust_saturation, TF.adjust_saturation, (0., 0.2, 1.3, 1.8)),
              (adjust_hue, TF.adjust_hue, (-0.5, -0.2, 0.07, 0.2, 0.5))]


@pytest.mark.parametrize(('ours', 'reference', 'factors'), OPERATIONS, ids=lambda value: getattr(value, '__name__', ''))
def test_jitter_is_torchvisions(ours, reference, factors):
    image = tensor_of(smooth_picture())
    for factor in factors:
        ours_now = ours(image.clone(), factor)
        # torchvision's weights of the luma are rounded (0.2989); PIL's rounding to uint8 follows below
        assert (ours_now - reference(image, factor)).abs().max() < 1e-3
        tensor_factor = torch.tensor([factor]).view(1, 1, 1, 1)
        torch.testing.assert_close(ours_now, ours(image.clone(), tensor_factor), rtol=0, atol=1e-6)


@pytest.mark.parametrize(('ours', 'reference', 'factors'), OPERATIONS, ids=lambda value: getattr(value, '__name__', ''))
def test_jitter_is_pils_up_to_rounding(ours, reference, factors):
    picture = smooth_picture()
    for factor in factors:
        expected = tensor_of(reference(picture, factor))
        difference = (ours(tensor_of(picture), factor) - expected).abs() * 255
        assert difference.mean() < 2.5 if ours is adjust_hue else difference.max() < 2.5  # PIL's hue has 256 steps


def test_hue_turns_pure_colours():
    red = torch.tensor([1., 0., 0.]).view(1, 3, 1, 1)
    for shift, expected in ((1 / 3, [0, 1, 0]), (-1 / 3, [0, 0, 1]), (1 / 6, [1, 1, 0]), (0.5, [0, 1, 1])):
        torch.testing.assert_close(adjust_hue(red.clone(), shift).flatten(), torch.tensor(expected).float())


@pytest.mark.parametrize('sigma', [0.1, 0.3, 0.7, 1.0, 1.4, 1.7, 2.0])
def test_blur_is_pils(sigma):
    picture = smooth_picture()
    pixels = np.array(picture)
    pixels[20, 20] = (255, 0, 255)  # a point, and hard edges above
    picture = Image.fromarray(pixels)
    ours = augment(tensor_of(picture), row(sigma=sigma))
    expected = tensor_of(picture.filter(ImageFilter.GaussianBlur(sigma)))
    difference = (ours - expected).abs() * 255
    assert difference.mean() < 0.6
    assert difference.max() < 3  # PIL rounds after every one of its six passes


@pytest.mark.parametrize('sigma', [0.5, 1.0, 2.0, 3.3])
def test_blur_kernel_has_its_variance(sigma):
    half = pil_blur_kernel(sigma, negligible=0.)
    distance = np.arange(len(half))
    assert np.isclose(2 * sum(half) - half[0], 1)
    assert np.isclose(2 * (distance**2 * half).sum(), sigma**2)


def test_blur_wider_than_the_image():
    assert torch.isfinite(augment(torch.rand(1, 3, 2, 2), row(sigma=2.))).all()


def test_identity_changes_nothing():
    image = torch.rand(2, 3, 8, 8)
    assert torch.equal(augment(image.clone(), row().repeat(2, 1)), image)


def test_grey():
    out = augment(torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).clone(), row(grey=1.))
    torch.testing.assert_close(out.flatten(), torch.full((3,), 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6))


@pytest.mark.parametrize('order', range(0, len(ORDERS), 5))
def test_the_order_is_kept(order):
    functions = {columns.BRIGHTNESS: TF.adjust_brightness, columns.CONTRAST: TF.adjust_contrast,
                 columns.SATURATION: TF.adjust_saturation, columns.HUE: TF.adjust_hue}
    factors = {columns.BRIGHTNESS: 1.6, columns.CONTRAST: 0.5, columns.SATURATION: 1.7, columns.HUE: 0.15}
    expected = image = tensor_of(smooth_picture())
    for column in ORDERS[order]:
        expected = functions[column](expected, factors[column])
    ours = augment(image.clone(), row(1.6, 0.5, 1.7, 0.15, order))
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-3)


def test_together_or_one_by_one_is_the_same():
    images = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    parameters = torch.from_numpy(draw_photometric(24, np.random.default_rng(0)))
    alone = torch.cat([augment(image.clone(), one) for image, one in
                       zip(images.split(1), parameters.split(1), strict=True)])
    torch.testing.assert_close(augment(images.clone(), parameters), alone, rtol=0, atol=1e-6)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match='three channels'):
        augment(torch.rand(2, 4, 8, 8), row().repeat(2, 1))
    with pytest.raises(ValueError, match='parameters'):
        augment(torch.rand(2, 3, 8, 8), row())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
def test_gpu_is_not_waited_for():
    images = torch.rand(32, 3, 32, 32)
    parameters = torch.from_numpy(draw_photometric(32, np.random.default_rng(0)))
    on_gpu = images.cuda()
    augment(on_gpu.clone(), parameters)  # warm up
    torch.cuda.set_sync_debug_mode('error')
    try:
        result = augment(on_gpu, parameters)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.testing.assert_close(result.cpu(), augment(images, parameters), rtol=0, atol=1e-5)


def by_opencv(image, parameters, **kwargs):
    """`augment_pixels` of one image (1, 3, H, W) in [0, 1] -> (3, H, W)."""
    planes = np.empty(image.shape[1:], np.float32)
    pixels = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
    photometric_opencv.augment_pixels(pixels, parameters.tolist(), planes, **kwargs)
    return torch.from_numpy(planes)


@pytest.mark.parametrize('side', [24, 25, 96])
@pytest.mark.parametrize('column', range(columns.NUM_PARAMETERS))
def test_opencv_gives_the_same_values_for_each_operation(side, column):
    """One operation at a time, with factors below and above 1 and shifts both ways."""
    values = {columns.HUE: (-0.5, -0.2, -0.01, 0.13, 0.5), columns.ORDER: (0, ), columns.GREY: (1, ),
              columns.SIGMA: (0.1, 0.4, 1, 2, 5)}.get(column, (0., 0.3, 1., 1.8))
    image = torch.cat([tensor_of(smooth_picture(side=48))[..., :side // 2], torch.rand(1, 3, 48, side)], dim=3)
    for value in values:
        parameters = row()
        parameters[0, column] = value
        expected = augment(image.clone(), parameters)[0]
        torch.testing.assert_close(by_opencv(image, parameters[0]), expected, rtol=0, atol=4e-6)


def test_opencv_gives_the_same_values_for_whole_draws():
    """Of bytes in BGR, normalised, as the data preprocessor asks for them."""
    rows = torch.from_numpy(draw_photometric(200, np.random.default_rng(0)))
    picture = tensor_of(smooth_picture(side=32))
    before = np.column_stack([np.eye(3)[::-1] / 255, np.zeros(3)])
    scale, shift = np.array([2., 3., 4.]), np.array([0.1, -0.5, 0.3])
    for parameters in rows:
        result = by_opencv(picture.flip(1) * 255, parameters, before=before,
                           after=np.column_stack([np.diag(scale), shift]))
        expected = augment(picture.clone(), parameters[None])[0] * scale[:, None, None] + shift[:, None, None]
        torch.testing.assert_close(result, expected.float(), rtol=0, atol=5e-5)
