"""Pictures of the stages: columns, colours of communities by a naming file, the cluster page, the network."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import leopart_mm  # noqa: F401
from leopart_mm.engine.hooks import StagePicturesHook
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
    dataset = SimpleNamespace(metainfo=dict(classes=tuple('abcd'), palette=PALETTE))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset),
                           evaluator=SimpleNamespace(metrics=[SimpleNamespace(matching_=matching)]))
    runner = SimpleNamespace(model=model, test_loop=loop, cfg={}, work_dir=str(folder))
    hook = StagePicturesHook(draw=True, max_side=SIDE, **options)
    hook.before_test(runner)
    for batch in Scenes(6, batch=2):
        record = {}
        labels = model.label_batch(batch, record=record)
        for index, (name, sample) in enumerate(zip(batch.names, batch.data_samples, strict=True)):
            path = folder / f'{name}.png'
            cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), GREY, np.uint8))
            stages = {title: dict(labels=maps[index], extent=None, num_labels=number)
                      for title, (maps, number) in record.items()}
            sample.set_metainfo(dict(img_path=str(path), stages=stages))
            assert labels.shape[1] == 2
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
        assert (communities[objects == 0] == GREY).all()  # the background is not painted
        assert len(np.unique(communities[objects > 0], axis=0)) == 1
    for name in ('sheet.png', 'community_network.png'):
        assert cv2.imread(str(folder / name)) is not None
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
    page = (folder / 'clusters.html').read_text()
    assert page.count('<td>wheel</td>') == 4  # two communities of two clusters each


def test_a_chain_without_communities(tmp_path):
    folder = draw(segmentor(CBFE, CLUSTERING), tmp_path, max_images=1, interval=2)
    assert sorted(path.name for path in folder.iterdir()) == ['clusters.html', 'scene_0.png', 'sheet.png']
    page = (folder / 'clusters.html').read_text()
    assert '6 images, 7 clusters' in page  # of all images, not only the drawn one


def test_a_missing_naming_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.yaml'):
        draw(whole_chain(), tmp_path, names=str(tmp_path / 'nowhere.yaml'))
