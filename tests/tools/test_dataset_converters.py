"""The converters on tiny originals in the published layouts."""

import importlib.util
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from leopart_mm.datasets import ADE20KStreetParts, COCOStuff15, COCOThings12
from leopart_mm.datasets.conversion import ConversionError, link_or_copy
from tests.paths import REPO


def load(name):
    """A converter whose `main` takes the command line."""
    path = REPO / 'tools' / 'dataset_converters' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return SimpleNamespace(main=lambda arguments: tool.main(tool.build_parser().parse_args(arguments)))


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def read(path):
    return np.asarray(Image.open(path)).tolist()


def mtimes(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*.png')}


def stuff_original(root):
    for split in ('train2017', 'val2017'):
        folder = root / 'annotations/stuff_annotations' / f'stuff_{split}_pixelmaps'
        for index in range(2):
            save(folder / f'{index:012d}.png', [[0, 92, 106, 183], [95, 181, 148, 120 + index]])
            save(root / 'images' / split / f'{index:012d}.jpg', np.zeros((2, 4, 3)))
    return root


def test_coco_stuff(tmp_path, capsys):
    root = stuff_original(tmp_path)
    load('coco_stuff15').main([str(root)])
    out = root / 'annotations/stuff15'
    assert read(out / 'val2017/000000000000.png') == [[255, 11, 8, 255], [0, 14, 13, 13]]
    assert len(COCOStuff15(str(root), split='train2017')) == 2
    before = mtimes(out)
    (out / 'val2017/000000000001.png').unlink()  # as if the run had been stopped
    load('coco_stuff15').main([str(root)])
    assert '2 masks, 1 of them new' in capsys.readouterr().out
    after = mtimes(out)
    assert after.keys() == before.keys()
    assert sum(after[path] != before[path] for path in before) <= 1
    assert read(out / 'val2017/000000000001.png') == [[255, 11, 8, 255], [0, 14, 13, 3]]


def test_coco_stuff_errors(tmp_path):
    tool = load('coco_stuff15')
    with pytest.raises(ConversionError, match='nowhere does not exist'):
        tool.main([str(tmp_path / 'nowhere')])
    root = stuff_original(tmp_path)
    with pytest.raises(ConversionError, match=r'stuff_test2017_pixelmaps does not exist.*stuff_annotations_trainval'):
        tool.main([str(root), '--splits', 'test2017'])
    source = root / 'annotations/stuff_annotations/stuff_val2017_pixelmaps/000000000001.png'
    save(source, [[7, 92]])
    with pytest.raises(ConversionError, match=r'000000000001\.png is no COCO-Stuff pixelmap'):
        tool.main([str(root), '--splits', 'val2017'])
    source.write_bytes(b'\x89PNG nothing')
    with pytest.raises(ConversionError, match=r'000000000001\.png cannot be read'):
        tool.main([str(root), '--splits', 'val2017'])
    assert not list((root / 'annotations/stuff15').rglob('*.tmp'))


def things_original(root):
    folder = root / 'annotations/panoptic_annotations'
    # segment 300 = (44, 1, 0) is a person, 65537 = (1, 0, 1) a dog, 5 = (5, 0, 0) sky (stuff), 0 unlabelled
    save(folder / 'panoptic_val2017/000000000007.png', [[[44, 1, 0], [1, 0, 1], [5, 0, 0], [0, 0, 0]]])
    segments = [dict(id=300, category_id=1), dict(id=65537, category_id=18), dict(id=5, category_id=187)]
    (folder / 'panoptic_val2017.json').write_text(json.dumps(
        dict(annotations=[dict(file_name='000000000007.png', image_id=7, segments_info=segments)])))
    save(root / 'images/val2017/000000000007.jpg', np.zeros((1, 4, 3)))
    return folder


def test_coco_things(tmp_path):
    folder = things_original(tmp_path)
    tool = load('coco_things12')
    tool.main([str(tmp_path), '--splits', 'val2017'])
    assert read(tmp_path / 'annotations/things12/val2017/000000000007.png') == [[9, 1, 255, 255]]
    assert len(COCOThings12(str(tmp_path))) == 1
    with pytest.raises(ConversionError, match='panoptic json of train2017 is missing'):
        tool.main([str(tmp_path)])
    save(folder / 'panoptic_val2017/000000000007.png', [[[9, 9, 9]]])
    (tmp_path / 'annotations/things12/val2017/000000000007.png').unlink()
    with pytest.raises(ConversionError, match='segments that the json does not name'):
        tool.main([str(tmp_path), '--splits', 'val2017'])
    (folder / 'panoptic_val2017.json').write_text('[]')
    with pytest.raises(ConversionError, match='is no COCO panoptic json'):
        tool.main([str(tmp_path), '--splits', 'val2017'])


def encode(ids):
    ids = np.asarray(ids)
    return np.stack([ids // 256 * 10, ids % 256, np.ones_like(ids)], axis=-1)


def street_original(root, release=2021):
    middle = ('images/ADE/{}/urban/{}' if release == 2021 else 'images/{}/s/{}')
    cases = [('training', 'street', 1, [[0, 300], [2000, 300]]), ('training', 'street', 2, [[0, 0], [0, 0]]),
             ('training', 'kitchen', 3, [[17, 17], [17, 17]]), ('validation', 'street', 4, [[40, 0], [0, 2000]])]
    for split, scene, number, parts in cases:
        folder = root / middle.format(split, scene)
        save(folder / f'ADE_{number}.jpg', np.zeros((2, 2, 3)))
        save(folder / f'ADE_{number}_parts_1.png', encode(parts))
        objects = [dict(name='door, portal', name_ndx=300), dict(name='wheel', name_ndx=2000)]
        if release == 2021:
            (folder / f'ADE_{number}.json').write_text(json.dumps(dict(annotation=dict(object=objects))))
    save(root / middle.format('training', 'street') / 'ADE_9.jpg', np.zeros((2, 2, 3)))  # without parts
    return root


@pytest.mark.parametrize('release', [2016, 2021])
def test_ade20k_street(tmp_path, capsys, release):
    root, out = street_original(tmp_path / 'ade', release), tmp_path / 'street'
    tool = load('ade20k_street')
    for written in (2, 0):
        tool.main([str(root), '--out', str(out)])
        text = capsys.readouterr().out
        assert '3 part classes occur; the published evaluation has 111' in text
        assert f'1 training and 1 validation images with 3 part classes, {written} masks new' in text
    assert read(out / 'SegmentationClass/ADE_1.png') == [[255, 1], [2, 1]]
    assert read(out / 'SegmentationClass/ADE_4.png') == [[0, 255], [255, 2]]
    dataset = ADE20KStreetParts(str(out))
    assert len(dataset) == 1
    names = ['part 40', 'door', 'wheel'] if release == 2021 else ['part 40', 'part 300', 'part 2000']
    assert list(dataset.metainfo['classes']) == names
    assert json.loads((out / 'meta.json').read_text())['ade20k_ids'] == [40, 300, 2000]


def test_ade20k_street_errors(tmp_path):
    tool = load('ade20k_street')
    root, out = street_original(tmp_path / 'ade'), tmp_path / 'street'
    with pytest.raises(ConversionError, match='no training image in a folder named beach'):
        tool.main([str(root), '--out', str(out), '--scene', 'beach'])
    tool.main([str(root), '--out', str(out)])
    (root / 'images/ADE/validation/urban/street/ADE_4_parts_1.png').unlink()
    with pytest.raises(ConversionError, match='None of the 1 street images of validation'):
        tool.main([str(root), '--out', str(out)])
    save(root / 'images/ADE/validation/urban/street/ADE_4_parts_1.png', encode([[41, 0], [0, 0]]))
    with pytest.raises(ConversionError, match='other part ids'):
        tool.main([str(root), '--out', str(out)])
    with pytest.raises(FileNotFoundError, match=r'no meta\.json.*ade20k_street\.py'):
        ADE20KStreetParts(str(tmp_path))


COLOURS = [[[128, 64, 128], [0, 0, 0]], [[0, 0, 255], [128, 64, 128]]]


@pytest.mark.parametrize('listed', ['road 128 64 128\nsea #0000ff\nignore 0,0,0\n', 'json'])
def test_colours_become_ids(tmp_path, capsys, listed):
    converter = load('colour_masks')
    save(tmp_path / 'masks/a/b.png', COLOURS)
    table = tmp_path / ('colours.txt' if listed != 'json' else 'meta.json')
    table.write_text(listed if listed != 'json' else json.dumps(
        dict(classes=['road', 'sea', 'ignore'], palette=[[128, 64, 128], [0, 0, 255], [0, 0, 0]])))
    command = [str(tmp_path / 'masks'), '--out', str(tmp_path / 'out'), '--colours', str(table)]
    converter.main(command)
    assert read(tmp_path / 'out/a/b.png') == [[0, 255], [1, 0]]
    meta = json.loads((tmp_path / 'out/meta.json').read_text())
    assert meta == dict(classes=['road', 'sea'], palette=[[128, 64, 128], [0, 0, 255]], ignore_index=255)
    before = mtimes(tmp_path / 'out')
    converter.main(command)
    assert mtimes(tmp_path / 'out') == before
    assert '0 new' in capsys.readouterr().out


def test_colours_without_a_class(tmp_path, capsys):
    converter = load('colour_masks')
    save(tmp_path / 'masks/b.png', COLOURS)
    (tmp_path / 'colours.txt').write_text('road 128 64 128\n')
    command = [str(tmp_path / 'masks'), '--out', str(tmp_path / 'out'), '--colours', str(tmp_path / 'colours.txt')]
    with pytest.raises(ConversionError, match=r'b\.png holds colours without a class: #000000, #0000ff'):
        converter.main(command)
    converter.main([*command, '--unknown', 'ignore'])
    assert read(tmp_path / 'out/b.png') == [[0, 255], [255, 0]]
    converter.main([str(tmp_path / 'masks'), '--find'])
    assert '#804080   50.000% of the pixels' in capsys.readouterr().out
    (tmp_path / 'colours.txt').write_text('road 128 64\n')
    with pytest.raises(ConversionError, match=r"'road 128 64' is no name with a colour"):
        converter.main(command)


def test_0_and_255_become_0_and_1(tmp_path):
    save(tmp_path / 'masks/b.png', [[0, 255], [255, 0]])
    load('colour_masks').main([str(tmp_path / 'masks'), '--out', str(tmp_path / 'out'), '--binary'])
    assert read(tmp_path / 'out/b.png') == [[0, 1], [1, 0]]
    assert json.loads((tmp_path / 'out/meta.json').read_text())['classes'] == ['background', 'foreground']


def colour_command(tmp_path, text='road 128 64 128\nsea #0000ff\nignore 0,0,0\n'):
    (tmp_path / 'colours.txt').write_text(text)
    return [str(tmp_path / 'masks'), '--out', str(tmp_path / 'out'), '--colours', str(tmp_path / 'colours.txt')]


def test_other_colours_or_another_mask_leave_no_old_ids(tmp_path, monkeypatch):
    converter = load('colour_masks')
    for name in 'abc':
        save(tmp_path / f'masks/{name}.png', COLOURS)
    converter.main(colour_command(tmp_path))
    save(tmp_path / 'masks/a.png', COLOURS[::-1])
    os.utime(tmp_path / 'masks/a.png', (5, 5))  # an old file that took the name
    converter.main(colour_command(tmp_path))
    assert read(tmp_path / 'out/a.png') == [[1, 0], [0, 255]]
    assert read(tmp_path / 'out/b.png') == [[0, 255], [1, 0]]
    swapped = colour_command(tmp_path, 'sea #0000ff\nroad 128 64 128\nignore 0,0,0\n')
    monkeypatch.setattr('leopart_mm.datasets.conversion.write_mask', stop)
    with pytest.raises(KeyboardInterrupt):
        converter.main(swapped)
    assert not list((tmp_path / 'out').glob('[!.]*'))  # neither ids nor names of the old colours
    monkeypatch.undo()
    converter.main(swapped)
    assert read(tmp_path / 'out/b.png') == [[1, 255], [0, 1]]
    assert json.loads((tmp_path / 'out/meta.json').read_text())['classes'] == ['sea', 'road']


def stop(*args):
    raise KeyboardInterrupt


def test_masks_that_would_replace_each_other_or_themselves(tmp_path):
    converter = load('colour_masks')
    save(tmp_path / 'masks/a.png', COLOURS)
    command = colour_command(tmp_path)
    with pytest.raises(ConversionError, match='would be replaced by its own conversion'):
        converter.main([*command[:2], str(tmp_path / 'masks'), *command[3:]])
    assert read(tmp_path / 'masks/a.png') == COLOURS
    save(tmp_path / 'masks/a.bmp', COLOURS)
    with pytest.raises(ConversionError, match=r'a\.bmp and .*a\.png would both become'):
        converter.main(command)


def test_a_link_follows_its_source(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'12')
    link_or_copy(tmp_path / 'a.jpg', tmp_path / 'out' / 'a.jpg')
    before = (tmp_path / 'out' / 'a.jpg').stat()
    link_or_copy(tmp_path / 'a.jpg', tmp_path / 'out' / 'a.jpg')
    assert (tmp_path / 'out' / 'a.jpg').stat() == before
    (tmp_path / 'b.jpg').write_bytes(b'34')
    os.replace(tmp_path / 'b.jpg', tmp_path / 'a.jpg')
    link_or_copy(tmp_path / 'a.jpg', tmp_path / 'out' / 'a.jpg')
    assert (tmp_path / 'out' / 'a.jpg').read_bytes() == b'34'
