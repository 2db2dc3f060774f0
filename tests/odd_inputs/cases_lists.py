"""Lists and folders as people have them."""

import os

import numpy as np
from PIL import Image

from leopart_mm.datasets import UnlabelledImages, VOCLayoutDataset
from leopart_mm.datasets.output_marks import mark_outputs
from tests.odd_inputs.case import case, error_of, log_lines, said

LISTS, FOLDERS = 'Lists', 'Folders'
PICTURE = np.zeros((8, 8, 3), np.uint8)


def write(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        Image.fromarray(PICTURE).save(file, 'PNG')


def listed(title, content, names=('a.jpg', 'b.jpg'), expected=None, contains=None):
    """A list of images in JPEGImages, which are found, or answered by a text."""

    @case(LISTS, title, 'UnlabelledImages(FOLDER, ann_file=LIST)')
    def run(folder):
        for name in names:
            write(os.fsdecode(os.path.join(os.fsencode(folder), b'JPEGImages', os.fsencode(name))))
        (folder / 'list.txt').write_bytes(content)

        def build():
            return UnlabelledImages(str(folder), ann_file='list.txt', data_prefix=dict(img_path='JPEGImages'))

        if expected is None:
            return error_of(build, Exception, contains)
        with log_lines() as lines:
            dataset = build()
        found = [os.path.basename(dataset.get_data_info(index)['img_path']) for index in range(len(dataset))]
        assert found == list(expected)
        return said(lines, contains) if contains else f'All {len(found)} images are found.'


BOTH = ('a.jpg', 'b.jpg')
listed('With a byte order mark', b'\xef\xbb\xbfa\nb\n', expected=BOTH)
listed('UTF-16 (Windows Notepad)', 'a\r\nb\r\n'.encode('utf-16'), expected=BOTH)
listed('Windows line ends, blank lines, blanks', b'a \r\n\r\n  b\r\n', expected=BOTH)
listed('Backslashes', b'JPEGImages\\a.jpg\nJPEGImages\\b.jpg', expected=BOTH)
listed('Two columns (DeepLab)', b'/JPEGImages/a.jpg /SegmentationClassAug/a.png\n/JPEGImages/b.jpg /Seg/b.png\n',
       expected=BOTH)
listed('Class numbers behind the names (ImageNet, VOC)', b'a.jpg 17\nb -1\n', expected=BOTH)
listed('Names with blanks', b'my cat.jpg\nb', ('my cat.jpg', 'b.jpg'), expected=('my cat.jpg', 'b.jpg'))
listed('A name that is not UTF-8', b'caf\xe9\nb', (os.fsdecode(b'caf\xe9.jpg'), 'b.jpg'),
       expected=(os.fsdecode(b'caf\xe9.jpg'), 'b.jpg'))
listed('A name with a line separator (U+2028) and a quote', 'a\u2028"b\n'.encode(), ('a\u2028"b.jpg', ),
       expected=('a\u2028"b.jpg', ))
listed('One of two files is not there', b'a\ngone', expected=('a.jpg', ), contains='left out')
listed('No file is there', b'x\ny', contains='2 of the 2 images')
listed('An empty list', b'\n\n', contains='is empty')
listed('Files that no line names', b'a', ('a.jpg', 'b.jpg', 'c.heic'), expected=('a.jpg', ), contains='other files')


@case(LISTS, 'A COCO json without images', 'UnlabelledImages(FOLDER, ann_file=LIST)')
def _json(folder):
    (folder / 'list.json').write_text('{"annotations": []}')
    return error_of(lambda: UnlabelledImages(str(folder), ann_file='list.json'), ValueError, 'no COCO json')


@case(LISTS, 'A list that is not there', 'VOCLayoutDataset(FOLDER, split="trainaug")')
def _split(folder):
    for part in ('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation'):
        (folder / part).mkdir(parents=True)
    (folder / 'ImageSets/Segmentation/val.txt').write_text('a')
    return error_of(lambda: VOCLayoutDataset(str(folder), split='trainaug'), FileNotFoundError, 'There are: val')


COMMAND = 'UnlabelledImages(FOLDER)'


@case(FOLDERS, 'No such folder', COMMAND)
def _nowhere(folder):
    return error_of(lambda: UnlabelledImages(str(folder / 'nowhere')), FileNotFoundError, 'does not exist')


@case(FOLDERS, 'A file instead of a folder', COMMAND)
def _file(folder):
    (folder / 'a').write_text('')
    return error_of(lambda: UnlabelledImages(str(folder / 'a')), FileNotFoundError, 'is a file, not a folder')


@case(FOLDERS, 'No image in it', COMMAND)
def _none(folder):
    (folder / 'notes.txt').write_text('')
    return error_of(lambda: UnlabelledImages(str(folder)), FileNotFoundError, 'There is no image')


@case(FOLDERS, '3 jpg, 2 raw photos, a film, notes', COMMAND)
def _kinds(folder):
    for name in 'abc':
        write(str(folder / f'{name}.JPG'))
    for name in ('a.cr2', 'b.cr2', 'film.mp4', 'notes.txt'):
        (folder / name).write_text('x')
    with log_lines() as lines:
        assert len(UnlabelledImages(str(folder))) == 3
    return said(lines, '3 images in')


@case(FOLDERS, 'One of three images is damaged', COMMAND)
def _damaged(folder):
    for name in 'abc':
        write(str(folder / f'{name}.jpg'))
    (folder / 'b.jpg').write_bytes(b'\xff\xd8\xff')
    with log_lines() as lines:
        dataset = UnlabelledImages(str(folder), pipeline=[dict(type='leopart_mm.LoadImage')])
        assert dataset[1]['img_path'].endswith('c.jpg')
    return said(lines, 'It is skipped')


@case(FOLDERS, 'All images are damaged', COMMAND)
def _all_damaged(folder):
    (folder / 'a.jpg').write_bytes(b'x')
    return error_of(lambda: UnlabelledImages(str(folder)), ValueError, 'None of the 1 images')


@case(FOLDERS, 'A link back to the folder itself', COMMAND)
def _link(folder):
    write(str(folder / 'a.jpg'))
    os.symlink(folder, folder / 'again')
    assert len(UnlabelledImages(str(folder))) == 1
    return 'Each image counts once; the search ends.'


@case(FOLDERS, 'Hidden files and folders (`.a.jpg`, `.thumbs/b.jpg`)', COMMAND)
def _hidden(folder):
    for name in ('a.jpg', '.a.jpg', '.thumbs/b.jpg'):
        write(str(folder / name))
    assert len(UnlabelledImages(str(folder))) == 1
    return 'They are left out.'


@case(FOLDERS, 'Pictures that an earlier run wrote below the images', COMMAND)
def _outputs(folder):
    for name in ('a.jpg', 'out/overlays/a.jpg', 'out/mine.jpg'):
        write(str(folder / name))
    mark_outputs(folder / 'out', ['overlays'])
    assert len(UnlabelledImages(str(folder))) == 2
    return 'What the run wrote is no image; other files in its folder are.'
