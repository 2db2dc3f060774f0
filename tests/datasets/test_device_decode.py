"""JPEG files that the device decodes: the boxes, colours and stand-ins of today, and its pixels."""

import io
import logging

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image

from leopart_mm.datasets import multi_crop_collate
from leopart_mm.datasets.encoded_jpeg import whole_jpeg
from leopart_mm.datasets.image_reading import decode_image
from leopart_mm.datasets.transforms import LoadImage, PackMultiCrop, RoIAlignedMultiCrop
from leopart_mm.models.data_preprocessors import MultiCropDataPreprocessor, jpeg_decoding
from tests.datasets.test_device_crops import assert_same, batches, folder  # noqa: F401

CPU = torch.device('cpu')


def smooth(height=45, width=61):
    """An image of colours that change slowly, and in every corner differently."""
    y, x = np.mgrid[:height, :width]
    return np.stack([20 + 3 * x, 230 - 3 * y, 90 + 2 * x - y], -1).clip(0, 255).astype(np.uint8)


def jpeg(array, orientation=None, **kwargs):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(array, kwargs.pop('mode', None)).save(file, 'JPEG', quality=95, exif=exif, **kwargs)
    return file.getvalue()


def tensor(content):
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def test_a_folder_of_any_kind_gives_the_batches_of_today(folder, decoding):  # noqa: F811
    """Grey, turned, damaged JPEGs and PNGs mixed: on a CPU crops and stand-ins are the same, too."""
    assert_same(batches(folder, True, load=dict(device_decode=True)), batches(folder, False))
    assert sum(decoding) == 7  # of the 18 images


@pytest.fixture
def decoding(monkeypatch):
    """Numbers of files that the data preprocessor decoded, one per batch."""
    counts, own = [], jpeg_decoding.decode_with_opencv

    def counted(contents, device):
        counts.append(len(contents))
        return own(contents, device)

    monkeypatch.setattr(jpeg_decoding, 'decode_with_opencv', counted)
    return counts


@pytest.mark.slow
def test_workers_change_nothing(folder):  # noqa: F811
    one, two = (batches(folder, True, num_workers=n, load=dict(device_decode=True)) for n in (1, 2))
    assert_same(one, two)


@pytest.mark.parametrize('orientation', [None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize('decode', [jpeg_decoding.decode_with_torchvision, jpeg_decoding.decode_with_opencv])
def test_images_are_upright(orientation, decode):
    """By torchvision's decoder on the CPU in the place of that on CUDA, and by that of workers."""
    content = jpeg(smooth(), orientation)
    encoded = whole_jpeg(content)
    today = decode_image(content, channel_order='rgb')[0]
    assert encoded.size == today.shape[:2]
    assert np.array_equal(decode_image(encoded.content)[0], decode_image(jpeg(smooth()))[0]), 'EXIF is hidden'
    image, = jpeg_decoding.decode_together(
        decode, [tensor(encoded.content)], [encoded.orientation], [encoded.size], CPU)
    assert image.is_contiguous()
    assert np.abs(image.numpy().astype(float) - today).mean() <= (decode == jpeg_decoding.decode_with_torchvision)


def test_a_grey_file_becomes_three_equal_bands():
    content = jpeg(smooth()[..., 0])
    image, = jpeg_decoding.decode_together(
        jpeg_decoding.decode_with_torchvision, [tensor(content)], [1], [whole_jpeg(content).size], CPU)
    assert np.abs(image.numpy().astype(float) - decode_image(content, channel_order='rgb')[0]).mean() <= 1
    assert torch.equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize('what', ['png', 'progressive', 'cmyk', 'rgb', 'flat', 'cut', 'cut with an end', 'no header'])
def test_other_files_are_left_to_the_worker(what):
    array, whole = smooth(), jpeg(smooth())
    png = io.BytesIO()
    Image.fromarray(array).save(png, 'PNG')
    assert whole_jpeg(whole) is not None
    assert whole_jpeg(dict(
        png=png.getvalue, progressive=lambda: jpeg(array, progressive=True),
        cmyk=lambda: jpeg(np.dstack([array, array[..., :1]]), mode='CMYK'), rgb=lambda: jpeg(array, keep_rgb=True),
        flat=lambda: jpeg(np.zeros_like(array)), cut=lambda: whole[:-200],
        **{'cut with an end': lambda: whole[:-200] + b'\xff\xd9', 'no header': lambda: whole[:3] + whole[-99:]})[what]()
    ) is None


def test_a_gpu_that_cannot_decode_is_said_once(monkeypatch, caplog):
    def broken(contents, device):
        raise RuntimeError('not compiled with nvJPEG\nC++ stack')

    content, told = jpeg(smooth(), 6), []
    encoded, cuda = whole_jpeg(content), torch.device('cuda')
    monkeypatch.setattr(jpeg_decoding, 'cuda_decoder', lambda: broken)
    monkeypatch.setattr(jpeg_decoding, 'SAID', [])
    monkeypatch.setattr(jpeg_decoding, 'print_log', lambda text, **kwargs: told.append((text, kwargs['level'])))
    monkeypatch.setattr(torch.Tensor, 'to', lambda self, device: self)  # there is no such device here
    for _ in range(2):
        image, = jpeg_decoding.decode_jpegs([tensor(encoded.content)], [6], [(61, 45)], cuda)
        assert np.array_equal(image.numpy(), decode_image(content, channel_order='rgb')[0])
    (text, level), = told
    assert 'not compiled with nvJPEG)' in text
    assert level == logging.WARNING


def test_an_image_of_another_size_than_its_header_tells_is_no_result():
    with pytest.raises(RuntimeError, match='instead of'):
        jpeg_decoding.decode_together(lambda contents, device: [torch.zeros(3, 4, 5)], [None], [1], [(5, 4)], CPU)


def test_what_excludes_each_other_is_told(tmp_path):
    with pytest.raises(ValueError, match='image_cache'):
        LoadImage(device_decode=True, cache=str(tmp_path))
    with pytest.raises(ValueError, match='three bands'):
        LoadImage(device_decode=True, bands=4)
    (tmp_path / 'a.jpg').write_bytes(jpeg(smooth()))
    sample = LoadImage(device_decode=True)(dict(img_path=str(tmp_path / 'a.jpg')))
    assert sample['img_shape'] == sample['ori_shape'] == (45, 61)
    with pytest.raises(ValueError, match='device_crops=True'):
        RoIAlignedMultiCrop()(dict(sample))
    packed = PackMultiCrop()(RoIAlignedMultiCrop((1, ), (16, ), ((0.25, 1.), ), device_crops=True)(sample))
    with pytest.raises(ValueError, match='multi_crop_collate'):
        MultiCropDataPreprocessor(mean=[0.] * 3, std=[1.] * 3)(default_collate([packed]), True)


def test_a_batch_holds_files_and_images(folder):  # noqa: F811
    steps = [LoadImage(device_decode=True), RoIAlignedMultiCrop((1, ), (16, ), ((0.25, 1.), ), device_crops=True),
             PackMultiCrop()]
    samples = []
    for name in ('a.jpg', 'c_alpha.png', 'f_turned.jpg'):
        sample = dict(img_path=str(folder / name))
        for step in steps:
            sample = step(sample)
        samples.append(sample)
    inputs = multi_crop_collate(samples)['inputs']
    sizes = [(folder / name).stat().st_size for name in ('a.jpg', 'f_turned.jpg')]
    assert inputs['jpeg_lengths'].tolist() == [sizes[0], 0, sizes[1]]
    assert inputs['jpegs'].numpy().tobytes() == b''.join(
        (folder / name).read_bytes().replace(b'\xff\xe1', b'\xff\xfe') for name in ('a.jpg', 'f_turned.jpg'))
    assert inputs['orientations'].tolist() == [1, 0, 6]
    assert inputs['shapes'].tolist() == [[40, 56, 3], [35, 56, 3], [56, 40, 3]]
    assert len(inputs['pixels']) == 35 * 56 * 3
