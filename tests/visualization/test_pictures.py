"""Colours, overlays and sheets: values of chosen pixels, shapes, and what is refused."""

import weakref

import numpy as np
import pytest
import torch

from leopart_mm.visualization import (
    Layer,
    colour_labels,
    distinct_colours,
    fit_side,
    label_borders,
    layer_row,
    overlay,
    row,
    stack,
)
from leopart_mm.visualization.layers import class_palette
from leopart_mm.visualization.panels import GAP, TITLE_HEIGHT


def test_colours_are_distinct_and_fixed():
    colours = distinct_colours(500)
    assert colours.shape == (500, 3)
    assert len(np.unique(colours, axis=0)) >= 490
    assert len(np.unique(colours[:100], axis=0)) == 100
    np.testing.assert_array_equal(distinct_colours(21), colours[:21])
    assert distinct_colours(0).shape == (0, 3)
    with pytest.raises(ValueError, match='-1'):
        distinct_colours(-1)


def test_neighbouring_colours_differ_clearly():
    colours = distinct_colours(60).astype(int)
    assert np.abs(np.diff(colours, axis=0)).sum(1).min() > 90


def test_colour_labels():
    palette = np.array([[1, 2, 3], [4, 5, 6]])
    labels = np.array([[0, 1, 255, 300]])
    np.testing.assert_array_equal(colour_labels(labels, palette)[0],
                                  [[1, 2, 3], [4, 5, 6], [255, 255, 255], [255, 255, 255]])
    many = distinct_colours(400)
    np.testing.assert_array_equal(colour_labels(np.array([[255, 399]]), many, ignore=None)[0], many[[255, 399]])
    with pytest.raises(ValueError, match='negative'):
        colour_labels(np.array([[-1]]), palette)


def test_overlay_values():
    image = np.full((2, 4, 3), 100, np.uint8)
    labels = np.array([[0, 1], [0, 255]])
    palette = np.array([[0, 0, 0], [200, 200, 200]])
    painted = overlay(image, labels, palette, alpha=0.5, borders=False)
    assert painted[0, 0].tolist() == [50] * 3
    assert painted[0, 3].tolist() == [150] * 3
    assert painted[1, 2].tolist() == [100] * 3  # ignored: the image itself
    bordered = overlay(image, labels, palette, alpha=0.5)
    assert bordered[0, 1].tolist() == [18] * 3  # 0.35 of 50
    assert bordered[0, 0].tolist() == [50] * 3


def test_label_borders():
    np.testing.assert_array_equal(label_borders(np.array([[0, 0, 1], [0, 0, 1]])),
                                  [[False, True, False], [False, True, False]])


def test_fit_side_keeps_labels():
    labels = np.array([[300, 300, 7, 7]] * 2, np.int32)
    np.testing.assert_array_equal(fit_side(labels, 2, labels=True), [[300, 7]])
    assert fit_side(np.zeros((10, 20, 3), np.uint8), 10).shape == (5, 10, 3)
    assert fit_side(labels, 99, labels=True) is labels


def test_rows_and_sheets():
    a, b = np.zeros((10, 8, 3), np.uint8), np.full((20, 10, 3), 9, np.uint8)
    line = row(dict(a=a, b=b), titles=False)
    assert line.shape == (10, 8 + 4 + 5, 3)
    assert (line[:, 8:12] == 255).all()
    assert (line[:, 12:] == 9).all()
    assert row(dict(a=a), titles=True).shape == (28, 8, 3)
    assert stack([a, line]).shape == (24, 17, 3)
    for function in (row, stack):
        with pytest.raises(ValueError, match='at least one'):
            function({})


def test_a_row_of_layers_and_matched_classes():
    image = np.zeros((8, 8, 3), np.uint8)
    clusters = Layer('clusters', torch.tensor([[0, 1], [2, 2]]), num_labels=3)
    truth = Layer('ground truth', torch.ones((8, 8), dtype=torch.long))
    metainfo = dict(palette=[[0, 0, 0], [250, 0, 0]])
    picture = layer_row(image, [clusters], np.array([1, 0, 0]), metainfo, truth)[TITLE_HEIGHT:]
    assert picture.shape == (8, 4 * 8 + 3 * GAP, 3)
    matched, seen_truth = picture[:, 2 * (8 + GAP):][:, :8], picture[:, 3 * (8 + GAP):]
    assert matched[0, 0].tolist() == [150, 0, 0]
    assert matched[7, 7].tolist() == [0, 0, 0]
    assert (seen_truth == np.array([150, 0, 0])).all()
    assert layer_row(image, [clusters]).shape[1] == 2 * 8 + GAP
    assert layer_row(image, [clusters], np.array([1, 0])).shape[1] == 2 * 8 + GAP  # label 2 has no class: left out
    assert layer_row(image, [clusters, clusters]).shape[1] == 3 * 8 + 2 * GAP  # equal titles do not hide a layer


def test_layers_paint_what_they_are():
    image = np.full((4, 6, 3), 100, np.uint8)
    labels = torch.tensor([[0, 1]])
    mask = Layer('mask', labels, num_labels=2, background=0).painted(image)
    assert mask[:, 0].tolist() == [[30] * 3] * 4
    assert mask[:, 5].tolist() == [[100] * 3] * 4
    clusters = Layer('clusters', labels, num_labels=3, background=1).painted(image)
    assert clusters[0, 5].tolist() == [30] * 3
    assert clusters[0, 0].tolist() == np.rint(40 + 0.6 * distinct_colours(1)[0]).tolist()
    classes = Layer('classes', labels).painted(image, metainfo=dict(palette=[[0, 0, 0], [200, 0, 0]]))
    assert classes[0, 5].tolist() == [160, 40, 40]
    assert Layer('part', labels, extent=(0, 1, 0.5, 1.5)).at((1, 4)).tolist() == [[0, 0, 1, 1]]


def test_a_shrunk_layer_shows_the_same_and_holds_nothing():
    labels = np.arange(6).reshape(2, 3).repeat(40, 0).repeat(40, 1)
    freed = weakref.ref(labels)
    small = Layer('a', torch.from_numpy(labels), num_labels=6).shrunk(60)
    del labels
    assert freed() is None
    assert small.labels.shape == (40, 60)
    assert small.at((2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    grid = Layer('a', torch.tensor([[0, 1]]), extent=(0, 1, 0, 1.5)).shrunk(60)
    assert grid.at((1, 6)).tolist() == [[0, 0, 0, 0, 1, 1]]


def test_every_label_has_a_colour():
    palette = class_palette(dict(palette=[[1, 2, 3]], classes=('a', 'b')), [np.array([[4, 255]]), None])
    assert palette[0].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(palette[1:], distinct_colours(5)[1:])
    assert len(class_palette({}, [np.array([255])])) == 0
    assert len(class_palette({}, [np.array([255])], ignore=None)) == 256
