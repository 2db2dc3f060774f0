"""The naming file: written by the tool, edited by a person, read back."""

import json

import numpy as np
import pytest
import yaml

from leopart_mm.palette import distinct_colours
from leopart_mm.visualization.cluster_names import ClusterNames


@pytest.mark.parametrize('file', ['names.yaml', 'names.json'])
@pytest.mark.parametrize('shares', [None, np.full(300, 1 / 300)])
def test_what_is_written_is_read(file, shares, tmp_path):
    names = ClusterNames.default(300)
    names.names[4:7] = ['wheel: "left"', "l'été #2", 'no']
    names.colours[5] = 255, 0, 7
    names.save(tmp_path / file, shares)
    found = ClusterNames.load(tmp_path / file, 300)
    assert found.names == names.names
    assert np.array_equal(found.colours, names.colours)


def test_an_edited_file(tmp_path):
    (tmp_path / 'names.yaml').write_text('clusters:\n  0: sky\n  cluster 2: {name: wheel, colour: "#FF8000"}\n'
                                         '  3: {color: [1, 2, 3]}\n  4: {name: }\n')
    found = ClusterNames.load(tmp_path / 'names.yaml', 6)
    assert found.names == ['sky', 'cluster 1', 'wheel', 'cluster 3', 'cluster 4', 'cluster 5']
    assert found.colours[2:4].tolist() == [[255, 128, 0], [1, 2, 3]]
    assert np.array_equal(found.colours[[0, 1, 4, 5]], distinct_colours(6)[[0, 1, 4, 5]])


@pytest.mark.parametrize('content', ['clusters: {0: no, 1: yes, 2: 3, 3: null, 4: 1.50}',
                                     'clusters: [no, yes, 3, null, 1.50]', '- no\n- yes\n- 3\n- null\n- 1.50\n',
                                     '\ufeffclusters:\n  1: yes\n  0: no\n  2: 3\n  3: null\n  4: 1.50  # a comment\n'])
def test_names_are_what_is_written(content, tmp_path):
    (tmp_path / 'names.yaml').write_text(content, encoding='utf-8')
    assert ClusterNames.load(tmp_path / 'names.yaml', 5).names == ['no', 'yes', '3', 'null', '1.50']


def test_colours_in_words_and_comments_are_no_fault(tmp_path):
    (tmp_path / 'names.yaml').write_text('# colour: #nothing\nclusters: {0: {name: "#1"}, 1: "colour"}\n')
    assert ClusterNames.load(tmp_path / 'names.yaml', 2).names == ['#1', 'colour']


@pytest.mark.parametrize('file', ['names.yaml', 'names.json'])
def test_the_model_is_noted(file, tmp_path):
    ClusterNames.default(2).save(tmp_path / file, model='0123')
    assert ClusterNames.model_of(tmp_path / file) == '0123'
    assert ClusterNames.load(tmp_path / file, 2).names == ['cluster 0', 'cluster 1']
    ClusterNames.default(2).save(tmp_path / file)
    assert ClusterNames.model_of(tmp_path / file) is None


def test_another_encoding_is_named(tmp_path):
    (tmp_path / 'names.yaml').write_bytes('clusters: [Tür]'.encode('latin-1'))
    with pytest.raises(ValueError, match='not stored as UTF-8'):
        ClusterNames.load(tmp_path / 'names.yaml', 1)


def test_equal_names_become_one_group():
    names = ClusterNames(['a', 'b', 'a', 'c', 'b'], np.arange(15, dtype=np.uint8).reshape(5, 3))
    group_of, merged = names.merged()
    assert group_of.tolist() == [0, 1, 0, 2, 1]
    assert merged.names == ['a', 'b', 'c']
    assert merged.colours.tolist() == [[0, 1, 2], [3, 4, 5], [9, 10, 11]]


@pytest.mark.parametrize(('content', 'message'), [
    ('clusters: {9: sky}', "names cluster 9; the model has the clusters 0 to 4"),
    ('clusters: {x: sky}', "names cluster 'x'"),
    ('clusters: {1: {name: a, colour: red}}', r"cluster 1: colour 'red' is neither '#rrggbb'"),
    ('clusters: {1: {name: a, colour: [1, 2, 300]}}', 'colour'),
    ('clusters: {1: {nmae: a}}', 'unknown nmae'),
    ('clusters: a', 'has no "clusters:"'),
    ('[a, b, c, d, e, f]', 'names cluster 5; the model has the clusters 0 to 4'),
    ('clusters:\n  0: sky\n  1:\n    name: a\n    colour: #ff8800\n', r'line 5: write the colour in quotes, "#ff8800"'),
    ('clusters: {1: {name: a, color: #ff8800}}', 'line 1: write the colour in quotes'),
    ('a: [', 'cannot be read'),
])
def test_faults_are_named(content, message, tmp_path):
    (tmp_path / 'names.yaml').write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        ClusterNames.load(tmp_path / 'names.yaml', 5)
    assert 'names.yaml' in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'names.json'):
        ClusterNames.load(tmp_path / 'names.json', 5)


def test_json_keys_are_words(tmp_path):
    (tmp_path / 'names.json').write_text(json.dumps(dict(clusters={'1': 'sky'})))
    assert ClusterNames.load(tmp_path / 'names.json', 2).names == ['cluster 0', 'sky']


ODD_NAMES = ['a "b" \\ \'c\'', '<b>bold</b> & </script>', '🐄 cow', 'שלום עולם', 'قطة', '# no comment', '{x: [y]}',
             'a: b', 'two\u2028lines', 'next\x85line', '\ufeffmark', 'delete\x7f', 'yes', '~', '1.50', '@data@']


@pytest.mark.parametrize('file', ['names.yaml', 'names.json'])
def test_background_hidden_and_odd_names_are_read_as_written(file, tmp_path):
    names = ClusterNames(list(ODD_NAMES), distinct_colours(len(ODD_NAMES)).copy())
    names.background[[0, 3]] = names.hidden[[5]] = True
    names.save(tmp_path / file, model='0123')
    found = ClusterNames.load(tmp_path / file, len(ODD_NAMES))
    assert found.names == ODD_NAMES
    assert np.flatnonzero(found.background).tolist() == [0, 3]
    assert np.flatnonzero(found.hidden).tolist() == [5]
    assert ClusterNames.model_of(tmp_path / file) == '0123'
    found.save(tmp_path / f'again_{file}', model='0123')
    assert (tmp_path / f'again_{file}').read_bytes() == (tmp_path / file).read_bytes()


def test_older_versions_read_the_file(tmp_path):
    """They take names, colours and shares below "clusters:", refuse any other key there, and look at nothing else."""
    names = ClusterNames.default(3, background=1)
    names.hidden[2] = True
    names.save(tmp_path / 'names.yaml', np.full(3, 1 / 3))
    content = yaml.safe_load((tmp_path / 'names.yaml').read_text())
    assert content['background'] == [1]
    assert content['hidden'] == [2]
    assert [set(entry) for entry in content['clusters'].values()] == [{'name', 'colour', 'share'}] * 3
    assert content['clusters'][1]['name'] == 'background'


def test_flags_as_people_write_them(tmp_path):
    (tmp_path / 'names.yaml').write_text('background: 0\nhidden: [cluster 1]\nclusters:\n  2: {name: a, hidden: true}\n'
                                         '  3: {background: yes}\n  0: {name: b, hidden: no}\n')
    found = ClusterNames.load(tmp_path / 'names.yaml', 5)
    assert found.background.tolist() == [True, False, False, True, False]
    assert found.hidden.tolist() == [False, True, True, False, False]
    assert found.shown.tolist() == [False, False, False, False, True]
    (tmp_path / 'names.yaml').write_text('hidden:\nclusters: {0: sky}')
    assert not ClusterNames.load(tmp_path / 'names.yaml', 5).hidden.any()


@pytest.mark.parametrize(('content', 'message'), [
    ('hidden: [7]\nclusters: {0: sky}', 'hidden: names cluster 7; the model has the clusters 0 to 4'),
    ('background: [sky]\nclusters: {0: sky}', "background: names cluster 'sky'"),
    ('clusters: {0: {hidden: perhaps}}', "cluster 0: hidden must be true or false, not 'perhaps'"),
])
def test_faults_of_flags_are_named(content, message, tmp_path):
    (tmp_path / 'names.yaml').write_text(content)
    with pytest.raises(ValueError, match=message):
        ClusterNames.load(tmp_path / 'names.yaml', 5)


def test_halves_of_characters_are_made_whole(tmp_path):
    (tmp_path / 'names.yaml').write_text(r'clusters: {0: "\ud83d\udc04", 1: "a\ud800"}')
    assert ClusterNames.load(tmp_path / 'names.yaml', 2).names == ['🐄', 'a\ufffd']


def test_groups_keep_background_and_hidden_apart():
    names = ClusterNames(['a', 'a', 'a', 'b'], np.arange(12, dtype=np.uint8).reshape(4, 3), background=[0, 0, 1, 1],
                         hidden=[0, 1, 0, 0])
    group_of, groups = names.merged()
    assert group_of.tolist() == [0, 1, 2, 3]
    assert groups.names == ['a', 'a', 'a', 'b']
    assert groups.background.tolist() == [False, False, True, True]
    assert groups.hidden.tolist() == [False, True, False, False]


def test_overlays_darken_the_background_and_leave_hidden_clusters_unpainted():
    image = np.full((2, 12, 3), 100, np.uint8)
    labels = np.array([[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 0]] * 2)
    names = ClusterNames(['a', 'a', 'sky', 'old', 'b'], np.array([[200, 0, 0]] * 4 + [[0, 0, 200]], np.uint8),
                         background=[0, 0, 1, 0, 0], hidden=[0, 0, 0, 1, 0])
    missing = np.zeros(labels.shape, bool)
    missing[:, 10:] = True
    found = names.overlay(image, labels, 0.5, missing=missing)[1, ::2]  # left of each pair: no border
    assert found.tolist() == [[150, 50, 50], [150, 50, 50], [30] * 3, [100] * 3, [50, 50, 150], [100] * 3]
    found = names.overlay(image, labels, 0.5, ignore=4)[1, ::2]
    assert found.tolist() == [[150, 50, 50], [150, 50, 50], [30] * 3, [100] * 3, [30] * 3, [150, 50, 50]]
    assert names.background.tolist() == [False, False, True, False, False]  # `ignore` was for that picture only


def test_marking_the_background():
    names = ClusterNames.default(3, background=0)
    names.names[2] = 'sky'
    names.mark_background(2)
    assert names.names == ['background', 'cluster 1', 'sky']
    assert names.background.tolist() == [True, False, True]
