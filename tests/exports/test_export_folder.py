"""Exports as other programs read them: pycocotools, mmdet, rasterio, zipfile; names followed, faults named."""

import json
import os
import shutil
import zipfile
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from leopart_mm.apis.image_inputs import list_images
from leopart_mm.datasets.coco_json import read_coco
from leopart_mm.evaluation.label_writer import read_labels
from leopart_mm.exports import export_folder
from tests.exports.builders import LABELS, segment, segmented, write_names, write_picture


def painted(coco, image_id, size, ids):
    """The label map that the annotations of an image make; -1: in none."""
    found = np.full(size, -1)
    for entry in coco.loadAnns(coco.getAnnIds(imgIds=[image_id])):
        mask = coco.annToMask(entry).astype(bool)
        assert (found[mask] == -1).all()  # segments do not overlap
        found[mask] = ids[entry['category_id']]
    return found


def test_coco_opens_in_pycocotools(tmp_path):
    out = segmented(tmp_path)
    report = export_folder(out, ['coco'])
    assert report.files == {'coco': [out / 'exports' / 'coco.json']}
    coco = COCO(str(out / 'exports' / 'coco.json'))
    assert [image['file_name'] for image in coco.dataset['images']] == ['a/1.png', 'a/2.png']
    root = coco.dataset['info']['image_root']
    ids = {entry['id']: entry['id'] - 1 for entry in coco.dataset['categories']}
    assert [entry['name'] for entry in coco.dataset['categories']] == [f'cluster {index}' for index in range(5)]
    for image, labels in zip(coco.dataset['images'], (LABELS, LABELS.T), strict=True):
        assert os.path.isfile(os.path.join(root, image['file_name']))
        assert (image['height'], image['width']) == labels.shape
        assert np.array_equal(painted(coco, image['id'], labels.shape, ids), labels)
    first = coco.dataset['annotations'][0]
    assert {key: type(value) for key, value in first.items()} == dict(
        id=int, image_id=int, category_id=int, iscrowd=int, area=int, bbox=list, segmentation=dict)
    assert isinstance(first['segmentation']['counts'], str)
    assert first['iscrowd'] == 0
    for entry in coco.dataset['annotations']:
        assert entry['area'] == coco_mask.area(entry['segmentation']) > 0
        assert entry['bbox'] == coco_mask.toBbox(entry['segmentation']).tolist()
    read_coco(out / 'exports' / 'coco.json')  # our own checks


def test_coco_opens_in_mmdet(tmp_path):
    mmdet_datasets = pytest.importorskip('mmdet.datasets')
    from mmdet.utils import register_all_modules
    register_all_modules(init_default_scope=False)
    blank = np.full((4, 5), 4)
    out = segmented(tmp_path, {'1.png': LABELS, '2.png': blank})
    write_names(out, '{0: {name: sky}, 1: {name: tree}, 3: {name: tree}, 4: {name: nothing, hidden: true}}')
    export_folder(out, ['coco'], min_area=4)
    content = json.loads((out / 'exports' / 'coco.json').read_text())
    names = [entry['name'] for entry in content['categories']]
    data = mmdet_datasets.CocoDataset(
        ann_file=str(out / 'exports' / 'coco.json'), data_prefix=dict(img=content['info']['image_root']),
        metainfo=dict(classes=names), pipeline=[dict(type='mmdet.LoadImageFromFile'),
                                                dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)])
    assert len(data) == 2
    assert names[:2] == ['sky', 'tree']
    loaded = data[0]
    assert loaded['img'].shape[:2] == LABELS.shape
    masks, labels = loaded['gt_masks'].masks, loaded['gt_bboxes_labels']
    # 1 and 3 are one name, and touch: one segment.
    assert sorted(zip(labels.tolist(), masks.sum((1, 2)).tolist(), strict=True)) == [(0, 4), (1, 12)]
    assert np.array_equal(masks[list(labels).index(1)], np.isin(LABELS, (1, 3)))
    assert len(data[1]['gt_bboxes_labels']) == 0  # kept, without objects


def test_one_mask_per_cluster_and_image(tmp_path):
    out = segmented(tmp_path, {'1.png': LABELS})
    export_folder(out, ['coco'], whole=True)
    content = json.loads((out / 'exports' / 'coco.json').read_text())
    assert [(entry['category_id'], entry['area']) for entry in content['annotations']] == [
        (1, 8), (4, 4), (2, 8), (3, 4)]
    assert content['images'][0]['file_name'] == '1.png'


def test_the_same_folder_gives_the_same_bytes_and_replaces_what_was_there(tmp_path):
    out = segmented(tmp_path)
    formats = ['coco', 'cvat', 'label_studio', 'geojson']
    report = export_folder(out, formats)
    files = [file for found in report.files.values() for file in found]
    assert len(files) == 1 + 3 + 2 + 2
    before = {file: file.read_bytes() for file in files if file.suffix != '.zip'}
    (tmp_path / 'in' / 'a' / '2.png').unlink()
    shutil.copy(tmp_path / 'in' / 'a' / '1.png', tmp_path / 'in' / 'a' / '3.png')
    assert [name for name, _ in export_folder(out, formats).left_out] == ['a/2']
    assert sorted(file.name for file in (out / 'exports' / 'geojson').rglob('*.geojson')) == ['1.geojson']
    write_picture(tmp_path / 'in' / 'a' / '2.png', LABELS.T)
    (tmp_path / 'in' / 'a' / '3.png').unlink()
    export_folder(out, formats)  # the time has changed, the content has not
    assert {file: file.read_bytes() for file in before} == before


def test_exports_are_no_images_and_other_files_stay(tmp_path):
    out = segmented(tmp_path)
    (out / 'exports').mkdir()
    (out / 'exports' / 'coco.json').write_text('mine')
    with pytest.raises(ValueError, match=r'coco\.json would be replaced, but no run wrote it there'):
        export_folder(out, ['coco'])
    assert (out / 'exports' / 'coco.json').read_text() == 'mine'
    write_picture(out / 'exports' / 'geotiff' / '1.png', LABELS)
    assert len(list_images(tmp_path).images) == 2


def test_cvat_gets_an_archive_in_its_layout(tmp_path):
    out = segmented(tmp_path)
    write_names(out, '{0: {name: sky, colour: "#00a0ff"}}')
    export_folder(out, ['coco', 'cvat'])
    with zipfile.ZipFile(out / 'exports' / 'cvat' / 'coco.zip') as archive:
        assert archive.namelist() == ['annotations/instances_default.json']
        content = archive.read('annotations/instances_default.json')
    assert content == (out / 'exports' / 'coco.json').read_bytes()
    labels = json.loads((out / 'exports' / 'cvat' / 'labels.json').read_text())
    assert labels[0] == dict(name='sky', color='#00a0ff', type='mask', attributes=[])
    assert [entry['name'] for entry in labels] == [entry['name'] for entry in json.loads(content)['categories']]


def unpack_brush(data):
    """The values of a brush mask, read bit by bit as @thi.ng/rle-pack does."""
    bits = ''.join(f'{byte:08b}' for byte in data)
    place = 0

    def take(count):
        nonlocal place
        place += count
        return int(bits[place - count:place], 2)

    number, word, sizes = take(32), take(5) + 1, [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < number:
        repeated, size = take(1), sizes[take(2)]
        count = take(size) + 1
        values += [take(word)] * count if repeated else [take(word) for _ in range(count)]
    return np.array(values)


def test_label_studio_gets_brush_masks(tmp_path):
    labels = np.zeros((150, 140), int)
    labels[:120] = 1  # runs of more than 2^16 values
    labels[130, 3] = 2
    out = segmented(tmp_path, {'x y/1.png': labels, 'x y/2.png': LABELS})
    write_names(out, '{1: {name: "a < b", colour: "#ff0000"}}')
    export_folder(out, ['label_studio'])
    first, second = json.loads((out / 'exports' / 'label_studio' / 'tasks.json').read_text())
    assert first['data']['image'] == '/data/local-files/?d=x%20y/1.png'
    for task, expected in ((first, labels), (second, LABELS)):
        found = np.full(expected.shape, -1)
        names = {f'cluster {index}': index for index in range(5)} | {'a < b': 1}
        for result in task['predictions'][0]['result']:
            assert (result['original_height'], result['original_width']) == expected.shape
            mask = unpack_brush(result['value']['rle']).reshape(*expected.shape, 4)
            assert (mask == mask[..., :1]).all()
            assert set(np.unique(mask)) <= {0, 255}
            found[mask[..., 3] > 0] = names[result['value']['brushlabels'][0]]
        assert np.array_equal(found, expected)
    tree = ElementTree.parse(out / 'exports' / 'label_studio' / 'interface.xml')
    assert [(label.get('value'), label.get('background')) for label in tree.iter('Label')][1] == ('a < b', '#ff0000')


def test_pixels_without_data_are_in_no_segment(tmp_path):
    image = np.repeat(LABELS[..., None], 3, axis=2).astype(np.float32)
    image[0] = np.nan
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in' / '1.tif'), image)
    out = segment(tmp_path / 'in', tmp_path / 'out', 300)
    labels = read_labels(out / 'labels' / '1.png')
    assert (labels[0] == 65535).all()
    export_folder(out, ['coco'], whole=True)
    coco = COCO(str(out / 'exports' / 'coco.json'))
    found = painted(coco, 1, LABELS.shape, {entry['id']: entry['id'] - 1 for entry in coco.dataset['categories']})
    assert (found[0] == -1).all()
    assert np.array_equal(found[1:], labels[1:])


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='There is no folder'):
        export_folder(tmp_path / 'none', ['coco'])
    (tmp_path / 'other' / 'labels').mkdir(parents=True)
    write_picture(tmp_path / 'other' / 'labels' / '1.png', LABELS)
    with pytest.raises(ValueError, match=r'holds no label maps of tools/segment_folder\.py'):
        export_folder(tmp_path / 'other', ['coco'])
    out = segmented(tmp_path)
    with pytest.raises(ValueError, match="The format 'shp' can be exported; known are: coco, cvat"):
        export_folder(out, ['shp'])
    with pytest.raises(ValueError, match='min_area=0'):
        export_folder(out, ['coco'], min_area=0)
    report = (out / 'report.json').read_text()
    (out / 'report.json').unlink()
    with pytest.raises(ValueError, match=r'report.json is missing: the run .* was stopped'):
        export_folder(out, ['coco'])
    (out / 'report.json').write_text('{')
    with pytest.raises(ValueError, match=r'report\.json is damaged'):
        export_folder(out, ['coco'])
    (out / 'report.json').write_text(report)
    write_names(out, '{7: sky}')
    with pytest.raises(ValueError, match='names cluster 7; the model has the clusters 0 to 4'):
        export_folder(out, ['coco'])
    (out / 'names.yaml').unlink()
    (out / 'report.json').write_text(json.dumps(dict(shares=[0.3, 0.3, 0.4])))
    with pytest.raises(ValueError, match=r'1.png holds the label 3, but there are only the clusters 0 to 2'):
        export_folder(out, ['coco'])
    (out / 'report.json').write_text(report)
    file = out / 'labels' / 'a' / '2.png'
    file.write_bytes(file.read_bytes()[:-9])
    assert export_folder(out, ['coco']).left_out == [
        ('a/2', 'image or label map has changed since: segment it again')]


def test_maps_without_their_images_are_left_out(tmp_path):
    out = segmented(tmp_path)
    write_picture(tmp_path / 'in' / 'a' / '1.png', LABELS + 1)
    report = export_folder(out, ['coco'])
    assert report.num_images == 1
    assert '1 label maps were left out: a/1 (image or label map has changed since: segment' in report.summary()
    (tmp_path / 'in' / 'a' / '1.png').unlink()
    (tmp_path / 'in' / 'a' / '2.png').unlink()
    with pytest.raises(ValueError, match=r'no label map of an image that is there \(a/1: its image .* is gone'):
        export_folder(out, ['coco'])


def test_odd_names(tmp_path):
    pytest.importorskip('rasterio')
    names = ['caf\udce9.png', 'n' * 251 + '.png', 'two\nlines.png', 'v1.2 "x".png']
    write_picture(tmp_path / 'plain.png', LABELS)
    (tmp_path / 'in').mkdir()
    for name in names:
        shutil.copy(tmp_path / 'plain.png', tmp_path / 'in' / name)
    out = segment(tmp_path / 'in', tmp_path / 'out')
    report = export_folder(out, ['coco', 'cvat', 'label_studio', 'geojson'])
    assert report.num_images == len(report.files['geojson']) == 4
    content = json.loads((out / 'exports' / 'coco.json').read_text())
    assert {image['file_name'] for image in content['images']} == set(names)
    assert 'caf\\xe9' in report.summary()
    tasks = json.loads((out / 'exports' / 'label_studio' / 'tasks.json').read_text())
    assert '/data/local-files/?d=caf%E9.png' in {task['data']['image'] for task in tasks}
