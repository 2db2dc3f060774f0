"""The converters of Cityscapes-27, COCO-Stuff-27 and Potsdam-3 on tiny originals in the published layouts."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from leopart_mm.datasets import Cityscapes27, COCOStuff27, Potsdam3
from leopart_mm.datasets.conversion import ConversionError
from leopart_mm.datasets.converters import potsdam_tiles
from leopart_mm.datasets.mask_reading import MaskError
from tests.tools.test_dataset_converters import load, mtimes, read, save

LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='mmseg.PackSegInputs')]


def cityscapes(root):
    for split, city in (('train', 'aachen'), ('train', 'bochum'), ('val', 'lindau')):
        name = f'{city}_000000_000019'
        save(root / f'gtFine/{split}/{city}/{name}_gtFine_labelIds.png', [[0, 6, 7, 8], [33, 26, 23, 255]])
        save(root / f'gtFine/{split}/{city}/{name}_gtFine_color.png', np.zeros((2, 4, 3)))
        save(root / f'leftImg8bit/{split}/{city}/{name}_leftImg8bit.png', np.zeros((2, 4, 3)))
    return root


def test_cityscapes(tmp_path, capsys):
    root, tool = cityscapes(tmp_path), load('cityscapes27')
    tool.main([str(root)])
    assert read(root / 'gtFine27/val/lindau/lindau_000000_000019.png') == [[255, 255, 0, 1], [26, 19, 16, 255]]
    dataset = Cityscapes27(str(root), split='train', pipeline=LOADING, test_mode=True)
    assert len(dataset) == 2
    assert dataset.metainfo['classes'][19] == 'car'
    assert dataset[1]['data_samples'].gt_sem_seg.data[0].tolist() == [[255, 255, 0, 1], [26, 19, 16, 255]]
    before = mtimes(root / 'gtFine27')
    (root / 'gtFine27/train/bochum/bochum_000000_000019.png').unlink()
    capsys.readouterr()
    tool.main([str(root)])
    text = capsys.readouterr().out
    assert '2 masks, 1 of them new' in text
    assert '1 masks, 0 of them new' in text
    assert mtimes(root / 'gtFine27').keys() == before.keys()


def test_cityscapes_errors(tmp_path):
    tool = load('cityscapes27')
    with pytest.raises(ConversionError, match=r'images of train is missing.*leftImg8bit_trainvaltest'):
        tool.main([str(tmp_path)])
    root = cityscapes(tmp_path)
    file = root / 'gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png'
    save(file, [[7, 34], [77, 34]])
    with pytest.raises(ConversionError, match=r'aachen_000000_000019_gtFine_labelIds\.png holds ids without a class: '
                                              r'34, 77\. .*--unknown'):
        tool.main([str(root)])
    tool.main([str(root), '--unknown', 'ignore'])
    assert read(root / 'gtFine27/train/aachen/aachen_000000_000019.png') == [[0, 255], [255, 255]]
    save(file, np.zeros((2, 4, 3)))
    with pytest.raises(ConversionError, match='is no label image'):
        tool.main([str(root), '--unknown', 'ignore'])
    for path in (root / 'gtFine/val').rglob('*labelIds.png'):
        path.unlink()
    with pytest.raises(ConversionError, match=r'val holds no \*_gtFine_labelIds\.png'):
        tool.main([str(root), '--splits', 'val'])


def test_masks_that_were_not_converted(tmp_path):
    root = cityscapes(tmp_path)
    for path in (root / 'gtFine/val').rglob('*labelIds.png'):
        target = root / 'gtFine27' / 'val' / 'lindau' / path.name.replace('_gtFine_labelIds', '')
        save(target, np.asarray(Image.open(path)))
    dataset = Cityscapes27(str(root), pipeline=LOADING, test_mode=True)
    with pytest.raises(MaskError, match=r'lindau_000000_000019\.png holds the ids 33, but the data set has the classes '
                                        r'0 to 26 and 255.*tools/dataset_converters'):
        dataset[0]


def coco(root, masks='stuffthingmaps'):
    for split in ('train2017', 'val2017'):
        for index in range(3):
            save(root / masks / split / f'{index:012d}.png', [[0, 1, 90, 255], [91, 181, 170, 51 + index]])
            save(root / 'images' / split / f'{index:012d}.jpg', np.zeros((2, 4, 3)))
        (root / 'curated' / split).mkdir(parents=True)
        (root / 'curated' / split / 'Coco164kFull_Stuff_Coarse_7.txt').write_text(f'{0:012d}\n{2:012d}\n')
    return root


@pytest.mark.parametrize('masks', ['stuffthingmaps', 'annotations'])
def test_coco(tmp_path, capsys, masks):
    root, tool = coco(tmp_path, masks), load('coco_stuff27')
    tool.main([str(root)])
    assert capsys.readouterr().out.count('2 masks, 2 of them new') == 2
    assert read(root / 'annotations/stuff27/val2017/000000000002.png') == [[9, 11, 4, 255], [17, 24, 18, 2]]
    dataset = COCOStuff27(str(root), pipeline=LOADING, test_mode=True)
    assert [dataset[i]['data_samples'].img_path[-16:] for i in range(2)] == ['000000000000.jpg', '000000000002.jpg']
    assert dataset.metainfo['palette'][:2] == [[0, 0, 0], [128, 0, 0]]
    tool.main([str(root), '--list', 'all', '--splits', 'val2017'])
    assert '3 masks, 1 of them new' in capsys.readouterr().out
    assert len(COCOStuff27(str(root))) == 2
    assert len(COCOStuff27(str(root), ann_file='')) == 3


def test_coco_errors(tmp_path):
    tool = load('coco_stuff27')
    with pytest.raises(ConversionError, match=r'no stuff-thing maps of train2017.*stuffthingmaps_trainval2017\.zip'):
        tool.main([str(tmp_path)])
    root = coco(tmp_path)
    save(root / 'stuffthingmaps/val2017/000000000002.png', [[182, 254, 5, 255]])
    command = [str(root), '--splits', 'val2017']
    with pytest.raises(ConversionError, match=r'000000000002\.png holds ids without a class: 182, 254\.'):
        tool.main(command)
    for choice, first in (('ignore', 255), ('class0', 0)):
        tool.main([*command, '--unknown', choice])
        assert read(root / 'annotations/stuff27/val2017/000000000002.png') == [[first, first, 11, 255]]
    (root / 'stuffthingmaps/val2017/000000000000.png').unlink()
    with pytest.raises(ConversionError, match=r'1 of the 2 masks that .*000000000000\.png'):
        tool.main(command)
    with pytest.raises(ConversionError, match=r'curated list of val2017 is missing.*--list all'):
        tool.main([*command, '--list', 'none.txt'])


def potsdam(root):
    for folder in ('imgs', 'gt'):
        (root / folder).mkdir(parents=True)
    for name in range(4):
        image = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4) + name
        savemat(root / f'imgs/{name}.mat', dict(img=image))
        if name < 3:
            savemat(root / f'gt/{name}.mat', dict(gt=np.tile(np.arange(6, dtype=np.uint8), (4, 1))))
    for split, names in (('labelled_train', '0\n2\n'), ('labelled_test', '1\n'), ('unlabelled_train', '3\n')):
        (root / f'{split}.txt').write_text(names)
    return root


def test_potsdam(tmp_path, capsys):
    root, out, tool = potsdam(tmp_path / 'mat'), tmp_path / 'out', load('potsdam3')
    command = [str(root), '--out', str(out)]
    tool.main(command)
    assert '4 crops, 4 of them new' in capsys.readouterr().out
    assert read(out / 'annotations/1.png') == [[0, 1, 2, 2, 0, 1]] * 4
    assert read(out / 'annotations/3.png') == [[255] * 6] * 4
    assert read(out / 'images/2.png')[0][:2] == [[2, 3, 4], [6, 7, 8]]
    assert [len(Potsdam3(str(out), split=split)) for split in ('labelled_train', 'labelled_test')] == [2, 1]
    assert Potsdam3(str(out), pipeline=LOADING, test_mode=True)[0]['inputs'][:, 0, 0].tolist() == [3, 2, 1]  # BGR
    (out / 'images/0.png').unlink()
    tool.main(command)
    assert '4 crops, 1 of them new' in capsys.readouterr().out


def test_potsdam_errors(tmp_path):
    tool = load('potsdam3')
    with pytest.raises(ConversionError, match='holds neither imgs/ nor a tile'):
        tool.main([str(tmp_path)])
    root, out = potsdam(tmp_path / 'mat'), tmp_path / 'out'
    command = [str(root), '--out', str(out)]
    savemat(root / 'gt/1.mat', dict(gt=np.full((4, 6), 6, np.uint8)))
    with pytest.raises(ConversionError, match=r'1\.mat holds ids without a class: 6\.'):
        tool.main(command)
    tool.main([*command, '--unknown', 'ignore'])
    assert read(out / 'annotations/1.png') == [[255] * 6] * 4
    savemat(root / 'gt/1.mat', dict(label=np.zeros((4, 6), np.uint8)))
    with pytest.raises(ConversionError, match=r"1\.mat has no variable 'gt', only label"):
        tool.main(command)
    (root / 'imgs/2.mat').write_bytes(b'nothing')
    with pytest.raises(ConversionError, match=r'2\.mat cannot be read'):
        tool.main(command)
    savemat(root / 'imgs/2.mat', dict(img=np.zeros((4, 6))))
    with pytest.raises(ConversionError, match=r'2\.mat is no crop of Potsdam'):
        tool.main(command)
    (root / 'imgs/2.mat').unlink()
    with pytest.raises(ConversionError, match=r'1 of the 4 listed crops are not in .*2\.mat'):
        tool.main(command)
    (root / 'labelled_test.txt').unlink()
    with pytest.raises(ConversionError, match=r'labelled_test\.txt is missing'):
        tool.main(command)


def test_potsdam_tiles(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(potsdam_tiles, 'CUT', 8)
    monkeypatch.setattr(potsdam_tiles, 'SIDE', 4)
    root, out, tool = tmp_path / 'tiles', tmp_path / 'out', load('potsdam3')
    colours = np.array(list(potsdam_tiles.COLOURS.values()), np.uint8)
    labels = colours[np.arange(6).repeat(4)[None, :16].repeat(16, 0)]  # impervious, building, low vegetation, tree
    for number in ('2_10', '2_13'):
        save(root / f'rgb/top_potsdam_{number}_RGB.tif', np.full((17, 18, 3), 90))
        save(root / f'labels/top_potsdam_{number}_label.tif', np.pad(labels, ((0, 1), (0, 2), (0, 0)), mode='edge'))
    command = [str(root), '--out', str(out)]
    for written in (8, 0):
        tool.main(command)
        assert f'4 training and 4 test crops, {written} of them new' in capsys.readouterr().out
    assert (out / 'labelled_test.txt').read_text().split() == [f'2_13_{row:02d}_{column:02d}'
                                                               for row in range(2) for column in range(2)]
    assert read(out / 'annotations/2_10_00_00.png') == [[0, 0, 1, 1]] * 4
    assert read(out / 'annotations/2_13_01_01.png') == [[2, 2, 2, 2]] * 4
    assert read(out / 'images/2_13_01_01.png') == [[[90, 90, 90]] * 4] * 4
    assert len(Potsdam3(str(out), split='labelled_train', pipeline=LOADING)) == 4
    (out / 'annotations/2_10_01_00.png').unlink()
    tool.main(command)
    assert '4 of them new' in capsys.readouterr().out
    save(root / 'labels/top_potsdam_2_10_label.tif', np.full((17, 18, 3), 7))
    with pytest.raises(ConversionError, match=r'2_10_label\.tif holds colours without a class: #070707'):
        tool.main(command)
    save(root / 'labels/top_potsdam_2_10_label.tif', labels)
    with pytest.raises(ConversionError, match='have other sizes'):
        tool.main(command)
    (root / 'labels/top_potsdam_2_10_label.tif').unlink()
    with pytest.raises(ConversionError, match=r'top_potsdam_2_10_label\.tif is not in'):
        tool.main(command)
