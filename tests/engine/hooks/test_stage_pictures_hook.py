"""Pictures of the stages: columns, colours of communities by a naming file, the cluster page, the network."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from torch import nn

import leopart_mm  # noqa: F401
from leopart_mm.engine.hooks import StagePicturesHook
from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.overlay import darken
from leopart_mm.visualization.panels import GAP, TITLE_HEIGHT
from tests.models.postprocessors.scenes import CBFE, CLUSTERING, OBJECT, Scenes, part_map, segmentor, whole_chain

SIDE, GREY = 40, 100
COLUMNS = ('image', 'clusters', 'noisy foreground', 'foreground', 'foreground clusters', 'communities', 'matched',
           'ground truth')
PALETTE = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]


def draw(model, folder, **options):
    """Run the hook over six scenes as a test loop would; returns the folder of pictures."""
    model.fit(Scenes())
    matching = np.arange(model.num_labels) % 4
    dataset = type('Data', (list, ), dict(metainfo=dict(classes=tuple('abcd'), palette=PALETTE)))([0] * 6)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset),
                           evaluator=SimpleNamespace(metrics=[SimpleNamespace(matching_=matching)]))
    runner = SimpleNamespace(model=model, test_loop=loop, cfg={}, work_dir=str(folder))
    hook = StagePicturesHook(draw=True, max_side=SIDE, **options)
    hook.before_test(runner)
    for batch in Scenes(6, batch=2):
        for name, sample in zip(batch.names, batch.data_samples, strict=True):
            path = folder / f'{name}.png'
            cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), GREY, np.uint8))
            sample.set_metainfo(dict(img_path=str(path), ori_shape=(SIDE, SIDE)))
        model.predict_batch(batch, pictures=True)
        hook.after_test_iter(runner, 0, None, batch.data_samples)
    hook.after_test_epoch(runner)
    return folder / 'pictures' / 'stages'


def column(path, title, columns=COLUMNS):
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    assert picture.shape == (TITLE_HEIGHT + SIDE, len(columns) * (SIDE + GAP) - GAP, 3)
    return picture[TITLE_HEIGHT:, columns.index(title) * (SIDE + GAP):][:, :SIDE]


def cells(panel):
    """The colour in the middle of every cell of the 8 x 8 grid."""
    return panel[2::5, 2::5]


def test_every_stage_of_an_image(tmp_path):
    model = whole_chain()
    folder = draw(model, tmp_path)
    for index in (0, 4):
        objects = OBJECT[part_map(index)].numpy()
        shown = cells(column(folder / f'scene_{index}.png', 'foreground'))
        assert ((shown == GREY).all(-1) == (objects > 0)).all()
        truth = cells(column(folder / f'scene_{index}.png', 'ground truth'))
        expected = np.rint(0.4 * GREY + 0.6 * np.asarray(PALETTE)[objects])
        assert (truth == expected).all()
        communities = cells(column(folder / f'scene_{index}.png', 'communities'))
        assert (communities[objects == 0] == darken(GREY)).all()  # the background is not painted
        assert len(np.unique(communities[objects > 0], axis=0)) == 1
    sheet = cv2.imread(str(folder / 'sheet.png'))  # all six images: fewer than sheet_rows
    rows = [cv2.imread(str(folder / f'scene_{index}.png')) for index in range(6)]
    assert np.array_equal(sheet, np.concatenate([np.pad(row, ((0, GAP), (0, 0), (0, 0)), constant_values=255)
                                                 for row in rows])[:-GAP])
    network = cv2.imread(str(folder / 'community_network.png'))
    shown = {tuple(colour) for colour in network.reshape(-1, 3)[:, ::-1]}
    assert {tuple(colour) for colour in distinct_colours(4)[1:]} <= shown  # frames of three communities
    assert not (folder / 'legend.png').exists()


def test_a_naming_file_gives_names_and_colours(tmp_path):
    model = whole_chain()
    model.fit(Scenes())
    names = tmp_path / 'names.yaml'
    names.write_text('clusters:\n  1: {name: wheel, colour: "#ff0000"}\n  2: {name: wheel}\n')
    folder = draw(model, tmp_path, names=str(names))
    red = np.rint(0.4 * GREY + 0.6 * np.array([255, 0, 0]))
    painted = {index: cells(column(folder / f'scene_{index}.png', 'communities'))[OBJECT[part_map(index)].numpy() > 0]
               for index in range(3)}
    assert sum((colours == red).all() for colours in painted.values()) == 2  # two of the three objects
    assert (folder / 'legend.png').is_file()
    page = (folder / 'examples.html').read_text()
    assert page.count('<td>wheel</td>') == 4  # two communities of two clusters each


def test_a_chain_without_communities(tmp_path):
    folder = draw(segmentor(CBFE, CLUSTERING), tmp_path, max_images=1, interval=2)
    assert sorted(path.name for path in folder.glob('[!.]*')) == [
        'classes.png', 'examples.html', 'scene_0.png', 'sheet.png']
    page = (folder / 'examples.html').read_text()
    assert 'tools/segment_folder.py IMAGES --checkpoint FILE --out DIR --sheet' in page
    assert '6 images, 7 clusters' in page  # of all images, not only the drawn one


def test_a_missing_naming_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.yaml'):
        draw(whole_chain(), tmp_path, names=str(tmp_path / 'nowhere.yaml'))


def test_any_stage_is_drawn_by_what_it_says_of_itself(tmp_path):
    """Names are the chain's keys; a stage at pixel size is no other case; nothing is asked of a class."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((SIDE, SIDE, 3), GREY, np.uint8))
    half = torch.zeros(2 * SIDE, 2 * SIDE, dtype=torch.long)
    half[:, SIDE:] = 1
    stages = dict(
        first=dict(title='things', labels=torch.tensor([[0, 1, 2]]), extent=(0, 1, 0, 2), num_labels=5, background=1),
        second=dict(title='sharp', labels=half, extent=None, num_labels=3, background=None))
    sample = SegDataSample(metainfo=dict(img_path=str(tmp_path / 'a.png'), stages=stages))
    dataset = type('Data', (list, ), dict(metainfo={}))([0])
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset), evaluator=SimpleNamespace(metrics=[]))
    runner = SimpleNamespace(model=nn.Identity(), test_loop=loop, cfg={}, work_dir=str(tmp_path))
    hook = StagePicturesHook(draw=True, max_side=SIDE)
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, [sample])
    hook.after_test_epoch(runner)
    folder, columns = tmp_path / 'pictures' / 'stages', ('image', 'things', 'sharp')
    things, sharp = (column(folder / 'a.png', title, columns) for title in columns[1:])
    colours = np.rint(0.4 * GREY + 0.6 * distinct_colours(3).astype(float))
    assert things[5, 5].tolist() == colours[0].tolist()
    assert things[5, 35].tolist() == [darken(np.array(GREY))] * 3
    assert sharp[5, [5, 35]].tolist() == colours[:2].tolist()
    assert '1 images, 2 clusters; 1 do not occur' in (folder / 'examples.html').read_text()
