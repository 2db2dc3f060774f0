"""Image files of every kind, one by one."""

import io
import os

import cv2
import numpy as np
from PIL import Image

from leopart_mm.datasets import ImageReadError, read_image
from tests.odd_inputs.case import case, error_of, log_lines, said

SECTION = 'Image files'
COMMAND = 'read_image(FILE)'
RGB = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def encoded(image=None, form='JPEG', **options):
    buffer = io.BytesIO()
    (Image.fromarray(RGB) if image is None else image).save(buffer, form, **options)
    return buffer.getvalue()


def readable(title, name, content, check=None, words=''):
    """A file that is read."""

    @case(SECTION, title, COMMAND)
    def run(folder):
        data = content() if callable(content) else content
        (folder / name).write_bytes(data)
        image = read_image(folder / name, 'rgb')
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        if check is not None:
            assert check(image)
        return f'Read, {image.shape[0]} x {image.shape[1]} x 3.{words}'


def refused(title, name, content, contains):
    """A file that is named with the reason."""

    @case(SECTION, title, COMMAND)
    def run(folder):
        (folder / name).write_bytes(content() if callable(content) else content)
        return error_of(lambda: read_image(folder / name), ImageReadError, contains)


def exact(expected):
    return lambda image: np.array_equal(image, expected)


def near(expected):
    return lambda image: image.shape == expected.shape and np.abs(image.astype(int) - expected).mean() < 12


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(quality=95, subsampling=0, exif=exif)


GREY = np.array(Image.fromarray(RGB).convert('L'))
GREY3 = np.repeat(GREY[..., None], 3, 2)
readable('JPEG in grey', 'a.jpg', lambda: encoded(Image.fromarray(GREY), quality=95), near(GREY3),
         ' The grey is repeated over the channels.')
readable('JPEG in CMYK (print)', 'a.jpg', lambda: encoded(Image.fromarray(RGB).convert('CMYK'), quality=95), near(RGB))
readable('Progressive JPEG', 'a.jpg', lambda: encoded(progressive=True, quality=95, subsampling=0), near(RGB))
readable('JPEG, EXIF says turned by 90 degrees', 'a.jpg', lambda: turned(6), near(np.rot90(RGB, -1)), ' Upright.')
readable('JPEG, EXIF says turned by 180 degrees', 'a.jpg', lambda: turned(3), near(np.rot90(RGB, 2)), ' Upright.')
readable('PNG in grey with alpha', 'a.png', lambda: encoded(Image.fromarray(GREY).convert('LA'), 'PNG'), exact(GREY3),
         ' Alpha is dropped.')
readable('PNG with alpha', 'a.png', lambda: encoded(Image.fromarray(RGB).convert('RGBA'), 'PNG'), exact(RGB),
         ' Alpha is dropped.')
readable('PNG with a palette', 'a.png', lambda: encoded(Image.fromarray(GREY).convert('P'), 'PNG'), exact(GREY3),
         ' Colours, not indices.')
readable('PNG of 1 bit', 'a.png', lambda: encoded(Image.fromarray(GREY > 99), 'PNG'),
         exact(np.repeat((GREY > 99)[..., None], 3, 2) * np.uint8(255)))
readable('PNG of 16 bits', 'a.png', lambda: encoded(Image.fromarray(GREY.astype(np.uint16) * 257), 'PNG'),
         exact(GREY3), ' 0..65535 become 0..255.')
DEEP = RGB.astype(np.uint16) * 250 + 130
readable('PNG in colour of 16 bits', 'a.png', lambda: cv2.imencode('.png', DEEP[..., ::-1])[1].tobytes(),
         exact(np.rint(DEEP / 257).astype(np.uint8)), ' All numbers count: 0..65535 become 0..255.')
readable('Animated GIF', 'a.gif', lambda: encoded(Image.fromarray(GREY), 'GIF', save_all=True,
                                                  append_images=[Image.fromarray(255 - GREY)]), exact(GREY3),
         ' The first frame.')
readable('WebP', 'a.webp', lambda: encoded(form='WEBP', lossless=True), exact(RGB))
readable('BMP', 'a.bmp', lambda: encoded(form='BMP'), exact(RGB))
readable('JPEG 2000', 'a.jp2', lambda: encoded(form='JPEG2000'), exact(RGB))
TILED = np.tile(DEEP, (2, 2, 1))  # OpenCV's encoder takes no smaller ones
readable('JPEG 2000 in colour of 16 bits', 'a.jp2', lambda: cv2.imencode(
    '.jp2', TILED[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes(),
         exact(np.rint(TILED / 257).astype(np.uint8)), ' All numbers count: 0..65535 become 0..255.')
readable('PNG that is called .jpg', 'a.jpg', lambda: encoded(form='PNG'), exact(RGB), ' The content counts.')
readable('An image of one pixel', 'a.png', lambda: encoded(Image.fromarray(RGB[:1, :1]), 'PNG'), exact(RGB[:1, :1]))
refused('An empty file', 'a.jpg', b'', 'empty (0 bytes)')
refused('A text file that is called .jpg', 'a.jpg', b'not a picture', 'no image')
refused('JPEG cut in half', 'a.jpg', lambda: encoded()[:300], 'cut off')
refused('JPEG cut in half, with an end marker behind', 'a.jpg',
        lambda: encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))[:2500]
        + b'\xff\xd9', 'although the file ends like a whole one')
refused('PNG cut in half', 'a.png', lambda: encoded(form='PNG')[:100], 'cut off')
refused('A web page that was saved as .png', 'a.png', b'<!doctype html><html></html>', 'no image')


@case(SECTION, 'A file that is not there', COMMAND)
def _missing(folder):
    return error_of(lambda: read_image(folder / 'a.png'), ImageReadError, 'No such file')


@case(SECTION, 'A folder that is called a.jpg', COMMAND)
def _folder(folder):
    (folder / 'a.jpg').mkdir()
    return error_of(lambda: read_image(folder / 'a.jpg'), ImageReadError, 'Is a directory')


@case(SECTION, 'TIFF of two pages', COMMAND)
def _pages(folder):
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    pages[0].save(folder / 'a.tif', save_all=True, append_images=pages[1:])
    with log_lines() as lines:
        np.testing.assert_array_equal(read_image(folder / 'a.tif'), GREY3)
    return said(lines, 'several pages')


@case(SECTION, 'A name that is not UTF-8 (`caf\\xe9.png`)', COMMAND)
def _name(folder):
    path = os.path.join(os.fsencode(folder), b'caf\xe9.png')
    with open(path, 'wb') as file:
        file.write(encoded(form='PNG')[:90])
    return error_of(lambda: read_image(os.fsdecode(path)), ImageReadError, r'caf\xe9.png')
