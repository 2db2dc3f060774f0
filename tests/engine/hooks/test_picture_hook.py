"""PictureHook of the final labels: what is painted where, which images, which files."""

import os
import weakref
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import leopart_mm  # noqa: F401
from leopart_mm.engine.hooks import ClusterVisualizationHook
from leopart_mm.engine.hooks.picture_hook import find_matching
from leopart_mm.palette import distinct_colours
from leopart_mm.registry import HOOKS
from leopart_mm.visualization.panels import GAP, TITLE_HEIGHT

PALETTE = [[255, 0, 0], [0, 255, 0]]
HEIGHT, WIDTH = 40, 60
GREY = 100


def field(labels):
    return PixelData(data=torch.as_tensor(np.asarray(labels))[None].long())


def make_sample(folder, name, pred_sem_seg=None, clusters=None, truth=None, **meta):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), GREY, np.uint8))
    sample = SegDataSample(metainfo=dict(img_path=str(path), **meta))
    if pred_sem_seg is not None:
        sample.pred_sem_seg = field(pred_sem_seg)
    if clusters is not None:
        sample.set_field(PixelData(data=torch.as_tensor(clusters)), 'pred_clusters')
    if truth is not None:
        sample.gt_sem_seg = field(truth)
    return sample


def make_runner(work_dir, matching=None, length=3, save_dir=None, metainfo=None):
    metainfo = dict(classes=('a', 'b'), palette=PALETTE) if metainfo is None else metainfo
    loop = SimpleNamespace(
        evaluator=SimpleNamespace(metrics=[SimpleNamespace(), SimpleNamespace(matching_=matching)]),
        dataloader=SimpleNamespace(dataset=type('Data', (list, ), dict(metainfo=metainfo))([0] * length)))
    shown = []
    visualizer = SimpleNamespace(show=lambda picture, win_name, wait_time: shown.append((win_name, wait_time)))
    return SimpleNamespace(cfg=dict(visualizer=dict(save_dir=save_dir) if save_dir else {}), work_dir=str(work_dir),
                           test_loop=loop, val_loop=loop, iter=7, visualizer=visualizer, shown=shown)


def run(hook, runner, samples, phase='test'):
    getattr(hook, f'before_{phase}_epoch')(runner)
    for index, sample in enumerate(samples):
        getattr(hook, f'after_{phase}_iter')(runner, index, None, [sample])
    getattr(hook, f'after_{phase}_epoch')(runner, {})


def panels(path, count):
    """The parts of a picture, RGB, without the titles."""
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    assert picture.shape == (TITLE_HEIGHT + HEIGHT, count * WIDTH + (count - 1) * GAP, 3)
    return [picture[TITLE_HEIGHT:, i * (WIDTH + GAP):][:, :WIDTH] for i in range(count)]


def painted(colour):
    return np.rint(0.4 * GREY + 0.6 * np.asarray(colour)).astype(int)


def test_four_panels_with_matched_classes(tmp_path):
    truth = np.zeros((HEIGHT, WIDTH), int)
    truth[:, 40:] = 255
    sample = make_sample(tmp_path / 'images', 'cat.png', clusters=[[[300, 4]], [[0, 0]]], truth=truth,
                         num_clusters=500, cluster_extent=None)
    matching = np.zeros(500, int)
    matching[300] = 1
    runner = make_runner(tmp_path, matching, save_dir=str(tmp_path / 'shown'))
    hook = HOOKS.build(dict(type='leopart_mm.ClusterVisualizationHook', draw=True, show=True, wait_time=0.5))
    run(hook, runner, [sample])
    image, clusters, matched, seen_truth = panels(tmp_path / 'shown' / 'cat.png', 4)
    assert (image == GREY).all()
    left, right = np.s_[5, 5], np.s_[5, 35]  # the first seed's two cells
    colours = distinct_colours(500)
    assert (clusters[left] == painted(colours[300])).all()
    assert (clusters[right] == painted(colours[4])).all()
    assert (matched[left] == painted(PALETTE[1])).all()
    assert (matched[right] == painted(PALETTE[0])).all()
    assert (seen_truth[left] == painted(PALETTE[0])).all()
    assert (seen_truth[5, 50] == GREY).all()  # ignored: the image shows
    assert runner.shown == [('cat', 0.5)]


def test_extent_cuts_padding(tmp_path):
    """An image that covers one and a half cells: the border lies at two thirds of its width."""
    sample = make_sample(tmp_path, 'a.png', clusters=[[[0, 1]]], num_clusters=2, cluster_extent=(0, 1, 0, 1.5))
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path), [sample])
    _, clusters = panels(tmp_path / 'pictures' / 'a.png', 2)
    assert (clusters[5, 38] == painted(distinct_colours(2)[0])).all()
    assert (clusters[5, 42] == painted(distinct_colours(2)[1])).all()


def test_labels_that_are_clusters_are_matched_though_they_lie_on_pixels(tmp_path):
    sample = make_sample(tmp_path / 'images', 'a.png', pred_sem_seg=np.full((HEIGHT, WIDTH), 2), num_clusters=3)
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path, np.array([0, 0, 1])), [sample])
    _, clusters, matched = panels(tmp_path / 'pictures' / 'a.png', 3)
    assert (clusters[5, 5] == painted(distinct_colours(3)[2])).all()
    assert (matched[5, 5] == painted(PALETTE[1])).all()


def test_images_in_the_folder_of_pictures_are_never_replaced(tmp_path):
    sample = make_sample(tmp_path / 'images', 'a.png', clusters=[[[0, 1]]], num_clusters=2, cluster_extent=None)
    before = (tmp_path / 'images' / 'a.png').read_bytes()
    with pytest.raises(ValueError, match=r'a\.png would be replaced, but no run wrote it there'):
        run(ClusterVisualizationHook(draw=True, out_dir=str(tmp_path / 'images')), make_runner(tmp_path), [sample])
    assert (tmp_path / 'images' / 'a.png').read_bytes() == before


def test_of_an_image_that_was_cropped_the_part_is_shown(tmp_path):
    sample = make_sample(tmp_path / 'images', 'a.png', clusters=[[[0, 1]]], num_clusters=2, cluster_extent=None,
                         truth=np.ones((HEIGHT, HEIGHT), int), crop_box=(0., 1., 1 / 6, 5 / 6))
    pixels = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    pixels[:, :10] = pixels[:, 50:] = 0  # what the crop leaves out
    cv2.imwrite(str(tmp_path / 'images' / 'a.png'), pixels)
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path), [sample])
    picture = cv2.imread(str(tmp_path / 'pictures' / 'a.png'))[..., ::-1].astype(int)
    assert picture.shape[:2] == (TITLE_HEIGHT + HEIGHT, 3 * HEIGHT + 2 * GAP)  # squares
    image, clusters = picture[TITLE_HEIGHT:, :HEIGHT], picture[TITLE_HEIGHT:, HEIGHT + GAP:2 * HEIGHT + GAP]
    assert (image == GREY).all()
    assert (clusters[5, 18] == painted(distinct_colours(2)[0])).all()
    assert (clusters[5, 22] == painted(distinct_colours(2)[1])).all()


def test_ordinary_decoder_paints_labels_beyond_the_classes(tmp_path):
    prediction = np.zeros((2 * HEIGHT, 2 * WIDTH), int)
    prediction[:HEIGHT] = 255
    prediction[:HEIGHT, WIDTH:] = 7
    truth = np.ones((HEIGHT, WIDTH), int)
    sample = make_sample(tmp_path, 'a.png', pred_sem_seg=prediction, truth=truth)
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path), [sample])
    _, predicted, seen_truth = panels(tmp_path / 'pictures' / 'a.png', 3)
    assert (predicted[30, 5] == painted(PALETTE[0])).all()
    assert (predicted[5, 5] == painted(distinct_colours(256)[255])).all()
    assert (predicted[5, 45] == painted(distinct_colours(256)[7])).all()
    assert (seen_truth[5, 5] == painted(PALETTE[1])).all()


def test_a_naming_file_colours_the_clusters(tmp_path):
    sample = make_sample(tmp_path, 'a.png', clusters=[[[0, 1]]], num_clusters=2, cluster_extent=None)
    (tmp_path / 'names.yaml').write_text('clusters: {0: {name: sky, colour: "#0000ff"}, 1: sky}')
    run(ClusterVisualizationHook(draw=True, names=str(tmp_path / 'names.yaml')), make_runner(tmp_path), [sample])
    _, clusters = panels(tmp_path / 'pictures' / 'a.png', 2)
    assert (clusters == painted([0, 0, 255])).all()
    assert (tmp_path / 'pictures' / 'legend.png').is_file()


def test_which_images_and_their_names(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('leopart_mm.engine.hooks.picture_hook.print_log',
                        lambda text, logger: lines.append(text))
    names = ['x/1.png', 'x/2.png', 'y/1.png', 'y/3.png', 'y/4.png']
    samples = [make_sample(tmp_path, name, clusters=[[[0]]], num_clusters=1) for name in names]
    hook = ClusterVisualizationHook(draw=True, interval=2, max_images=2, out_dir=str(tmp_path / 'out'))
    run(hook, make_runner(tmp_path, length=5), samples)
    assert sorted(path.name for path in (tmp_path / 'out').glob('*.png')) == ['x_1.png', 'y_1.png']
    assert 'Drew 2 of 5 images' in lines[0]
    run(hook, make_runner(tmp_path, length=5), samples[3:4])  # nothing is left of the run before
    assert 'Drew 1 of 5' in lines[1]


def test_validation_only_where_asked_for(tmp_path):
    sample = make_sample(tmp_path, 'a.png', clusters=[[[0]]], num_clusters=1)
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path), [sample], 'val')
    assert not (tmp_path / 'pictures').exists()
    hook = ClusterVisualizationHook(draw_val=True)
    run(hook, make_runner(tmp_path), [sample])
    assert not (tmp_path / 'pictures').exists()
    run(hook, make_runner(tmp_path), [sample], 'val')
    assert [path.name for path in (tmp_path / 'pictures').iterdir()] == ['iter_7']
    assert (tmp_path / 'pictures' / 'iter_7' / 'a.png').is_file()


def test_waiting_images_hold_no_map_of_full_size(tmp_path):
    maps = [np.zeros((800, 1200), int) for _ in range(2)]
    alive = [weakref.ref(array) for array in maps]
    sample = make_sample(tmp_path, 'a.png')
    for name, array in zip(('pred_sem_seg', 'gt_sem_seg'), maps, strict=True):
        sample.set_field(PixelData(data=torch.from_numpy(array)[None]), name)
    hook, runner = ClusterVisualizationHook(draw=True, max_side=30), make_runner(tmp_path)
    hook.after_test_iter(runner, 0, None, [sample])
    del sample, maps, array
    assert [reference() for reference in alive] == [None, None]
    hook.after_test_epoch(runner, {})
    assert cv2.imread(str(tmp_path / 'pictures' / 'a.png')).shape == (TITLE_HEIGHT + 20, 3 * 30 + 2 * GAP, 3)


def test_other_processes_draw_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr('leopart_mm.engine.hooks.picture_hook.is_main_process', lambda: False)
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path),
        [make_sample(tmp_path, 'a.png', clusters=[[[0]]], num_clusters=1)])
    assert not (tmp_path / 'pictures').exists()


@pytest.mark.parametrize('wrong', [dict(interval=0), dict(max_images=-1), dict(max_side=0)])
def test_impossible_numbers(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClusterVisualizationHook(**wrong)


def test_where_pictures_go(tmp_path):
    sample = make_sample(tmp_path, 'a.png', clusters=[[[0]]], num_clusters=1)
    runner = make_runner(tmp_path, save_dir=str(tmp_path / 'shown'))
    for out_dir, expected in ((None, 'shown'), (str(tmp_path / 'out'), 'out')):
        run(ClusterVisualizationHook(draw=True, out_dir=out_dir), runner, [sample])
        assert (tmp_path / expected / 'a.png').is_file()
    assert find_matching(SimpleNamespace(metrics=[SimpleNamespace(matching_=None)])) is None


def test_a_name_that_is_no_utf8(tmp_path):
    name = os.fsdecode(b'caf\xe9.png')
    make_sample(tmp_path, 'a.png')
    os.rename(tmp_path / 'a.png', tmp_path / name)
    sample = SegDataSample(metainfo=dict(img_path=f'{tmp_path}/{name}', num_clusters=1))
    sample.set_field(PixelData(data=torch.zeros(1, 1, 1, dtype=torch.long)), 'pred_clusters')
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path), [sample])
    assert b'caf\xe9.png' in os.listdir(os.fsencode(tmp_path / 'pictures'))


def test_no_picture_of_an_earlier_run_stays(tmp_path):
    runner = make_runner(tmp_path / 'work', save_dir=str(tmp_path / 'shown'))
    samples = [make_sample(tmp_path, name, clusters=[[[0]]], num_clusters=1) for name in ('a.png', 'b.png')]
    (tmp_path / 'shown').mkdir()
    (tmp_path / 'shown' / 'mine.png').write_text('')
    run(ClusterVisualizationHook(draw=True, sheet_rows=2), runner, samples)
    assert sorted(path.name for path in (tmp_path / 'shown').glob('*.png')) == ['a.png', 'b.png', 'mine.png',
                                                                               'sheet.png']
    run(ClusterVisualizationHook(draw=True), runner, samples[1:])
    assert sorted(path.name for path in (tmp_path / 'shown').glob('*.png')) == ['b.png', 'mine.png']


def test_the_legend_of_classes_that_occur(tmp_path):
    truth = np.full((HEIGHT, WIDTH), 255)
    truth[0] = 1
    samples = [make_sample(tmp_path, 'a.png', clusters=np.zeros((1, 2, 2), int), num_clusters=1, truth=truth)]
    metainfo = dict(classes=('a', 'b', 'c'), palette=[[0, 0, 0], [9, 99, 199], [1, 1, 1]])
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path, metainfo=metainfo), samples)
    legend = cv2.imread(str(tmp_path / 'pictures' / 'classes.png'))[..., ::-1]
    assert legend.shape[0] == 22  # b, and neither the ignored label nor what occurs nowhere
    assert legend[10, 10].tolist() == [9, 99, 199]
    run(ClusterVisualizationHook(draw=True), make_runner(tmp_path, np.array([2]), metainfo=metainfo), samples)
    legend = cv2.imread(str(tmp_path / 'pictures' / 'classes.png'))[..., ::-1]
    assert legend.shape[0] == 22 + 26  # and c, which a cluster stands for
