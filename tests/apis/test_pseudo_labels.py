"""Label maps of predictions: whole runs on small files, against the golden maps and values worked out by hand."""

import json
import os

import cv2
import numpy as np
import pytest

from leopart_mm.apis.image_inputs import list_images
from leopart_mm.apis.label_scores import score_folder
from leopart_mm.apis.pseudo_labels import LabelSettings, generate_pseudo_labels
from leopart_mm.evaluation.label_writer import read_labels
from tests.golden.checks_maskdistill_label_maps import annotations_of
from tests.paths import GOLDEN_ROOT

PUBLISHED = LabelSettings(order='file', overlap='published')


@pytest.fixture
def golden():
    with np.load(GOLDEN_ROOT / 'maskdistill' / 'label_maps.npz') as arrays:
        return dict(arrays)


def write_golden(folder, arrays):
    """The images of the golden file, a list of results and the ground truth."""
    images = []
    for number, (height, width) in enumerate(arrays['image_hw'].tolist()):
        images.append(dict(id=number, file_name=f'2008_{number:06d}.jpg', height=height, width=width))
        write_image(folder / 'images' / images[-1]['file_name'], (height, width))
    results = [dict(entry, score=score) for entry, score in
               zip(annotations_of(arrays, 'pred'), arrays['pred_score'].tolist(), strict=True)]
    truth = [dict(entry, id=number, area=int(area), iscrowd=0) for number, (entry, area) in
             enumerate(zip(annotations_of(arrays, 'gt'), arrays['gt_area'], strict=True), 1)]
    categories = [dict(id=number, name=f'class {number}') for number in range(21)]
    (folder / 'results.json').write_text(json.dumps(results))
    (folder / 'gt.json').write_text(json.dumps(dict(images=images, annotations=truth, categories=categories)))
    return folder / 'results.json', folder / 'images', folder / 'gt.json'


def write_image(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8))


def rectangle(top, left, bottom, right, size=(6, 8)):
    """Run lengths of a rectangle, rows top..bottom-1."""
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 1
    flat, counts, last = mask.flatten('F').tolist(), [0], 0
    for value in flat:
        counts = counts if value == last else [*counts, 0]
        counts[-1] += 1
        last = value
    return dict(segmentation=dict(size=list(size), counts=counts), bbox=[left, top, right - left, bottom - top])


def write_results(folder, results, names=('a', 'b', 'c'), size=(6, 8)):
    for name in names:
        write_image(folder / 'images' / f'{name}.png', size)
    (folder / 'results.json').write_text(json.dumps(results))
    return folder / 'results.json', folder / 'images'


TWO = [dict(image_id='a', category_id=0, score=.95, **rectangle(0, 0, 3, 4)),
       dict(image_id='b', category_id=1, score=.5, **rectangle(2, 2, 6, 8)),
       dict(image_id='a', category_id=1, score=.99, **rectangle(2, 3, 6, 8))]


def test_golden_predictions_give_the_golden_maps(tmp_path, golden):
    results, images, gt = write_golden(tmp_path, golden)
    for name, settings, workers in (('polygon', PUBLISHED, 0), ('polygon', PUBLISHED, 2),
                                    ('bbx', LabelSettings(order='file', overlap='published', shape='box'), 0)):
        out = tmp_path / f'{name}{workers}'
        report = generate_pseudo_labels(results, images, out, settings, gt, workers=workers)
        for number in range(4):
            file = out / 'labels' / f'2008_{number:06d}.png'
            np.testing.assert_array_equal(read_labels(file), golden[f'map_{name}_2008_{number:06d}'])
        assert (out / 'images.txt').read_text().split() == [f'2008_{number:06d}' for number in range(4)]
        assert not (out / 'labels' / '2008_000004.png').exists()
        assert report.without == ['2008_000004']
        assert (report.instances, report.selected) == (20, 12)
        np.testing.assert_allclose(report.box_ap50, golden['box_ap50'], atol=1e-6)
        assert '1 images without a prediction (2008_000004)' in report.summary()
    selected = json.loads((tmp_path / 'polygon0' / 'selected.json').read_text())
    assert [entry['id'] for entry in selected['annotations']] == list(range(1, 13))
    assert sorted(entry['score'] for entry in selected['annotations']) == sorted(golden['selected_score'].tolist())
    assert len(selected['images']) == 5


def test_defaults_sort_by_score_and_let_the_first_win(tmp_path):
    report = generate_pseudo_labels(*write_results(tmp_path, TWO), tmp_path / 'out')
    expected = np.zeros((6, 8), int)
    expected[0:3, 0:4] = 1
    expected[2:6, 3:8] = 2  # the better one keeps the pixel (2, 3)
    assert read_labels(tmp_path / 'out' / 'labels' / 'a.png').tolist() == expected.tolist()
    assert (read_labels(tmp_path / 'out' / 'labels' / 'b.png') == 2).sum() == 24
    assert (report.below, report.without, report.num_categories) == (1, ['c'], 2)
    shares = (48 - 12 - 20 + 1 + 48 - 24) / 96
    assert report.background == pytest.approx(shares)
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['without_prediction'] == ['c']


def test_images_without_a_prediction_may_be_ignored_in_training(tmp_path):
    generate_pseudo_labels(*write_results(tmp_path, TWO), tmp_path / 'out', LabelSettings(unpredicted='ignore'))
    assert (read_labels(tmp_path / 'out' / 'labels' / 'c.png') == 255).all()
    assert (tmp_path / 'out' / 'images.txt').read_text() == 'a\nb\nc\n'


def test_images_that_cannot_be_read_are_named(tmp_path):
    results, images = write_results(tmp_path, TWO)
    (images / 'c.png').write_bytes(b'no image')
    (images / 'a.png').write_bytes(b'no image')
    report = generate_pseudo_labels(results, images, tmp_path / 'out', LabelSettings(unpredicted='ignore'))
    assert (tmp_path / 'out' / 'images.txt').read_text() == 'a\nb\n'  # the masks of a tell its size
    assert 'c.png (it has no prediction that tells the size of its label map' in report.summary()
    cut = generate_pseudo_labels(results, images, tmp_path / 'cut', LabelSettings(shape='grabcut'))
    assert [path for path, _ in cut.corrupt] == [str(images / 'a.png')]
    assert (tmp_path / 'cut' / 'images.txt').read_text() == 'b\n'


def test_no_prediction_at_all(tmp_path, golden):
    results, images, gt = write_golden(tmp_path, golden)
    results.write_text('[]')
    report = generate_pseudo_labels(results, images, tmp_path / 'out', gt=gt)
    assert (report.num_done, len(report.without), report.box_ap50) == (0, 5, 0)
    assert (tmp_path / 'out' / 'images.txt').read_text() == ''
    with pytest.raises(ValueError, match='There is no label map to score'):
        score_folder(tmp_path / 'out', tmp_path, 21, 21)


def test_a_killed_run_resumes_and_other_predictions_are_refused(tmp_path, monkeypatch):
    results, images = write_results(tmp_path, TWO)
    generate_pseudo_labels(results, images, tmp_path / 'whole', show_dir=tmp_path / 'pictures')
    assert sorted(os.listdir(tmp_path / 'pictures'))[-2:] == ['a.jpg', 'b.jpg']
    from leopart_mm.apis import pseudo_labels
    write, calls = pseudo_labels._write, []

    def write_once(file, labels):
        if calls:
            raise KeyboardInterrupt
        calls.append(file)
        write(file, labels)

    monkeypatch.setattr(pseudo_labels, '_write', write_once)
    with pytest.raises(KeyboardInterrupt):
        generate_pseudo_labels(results, images, tmp_path / 'out')
    monkeypatch.setattr(pseudo_labels, '_write', write)
    report = generate_pseudo_labels(results, images, tmp_path / 'out')
    assert (report.num_present, report.num_done) == (1, 1)
    for name in ('labels/a.png', 'labels/b.png', 'images.txt', 'selected.json', 'report.json'):
        assert (tmp_path / 'out' / name).read_bytes() == (tmp_path / 'whole' / name).read_bytes()
    results.write_text(json.dumps(TWO[:2]))
    with pytest.raises(ValueError, match='label maps of other predictions'):
        generate_pseudo_labels(results, images, tmp_path / 'out')
    report = generate_pseudo_labels(results, images, tmp_path / 'out', overwrite=True)
    assert (read_labels(tmp_path / 'out' / 'labels' / 'a.png') > 0).sum() == 12


def test_categories_beyond_the_count_are_refused(tmp_path):
    wrong = [TWO[0], dict(TWO[1], category_id=254)]
    with pytest.raises(ValueError, match=r"results.json: prediction 1 of image 'b' has category 254, but a label map "
                                         'of bytes holds 0..253'):
        generate_pseudo_labels(*write_results(tmp_path, wrong), tmp_path / 'out')
    with pytest.raises(ValueError, match=r"prediction 1 of image 'b' has category 254, but there are 20 classes"):
        generate_pseudo_labels(*write_results(tmp_path, wrong), tmp_path / 'out', num_classes=20)
    assert not (tmp_path / 'out').exists()


def test_a_file_that_is_cut_off_is_named_with_its_byte(tmp_path):
    results, images = write_results(tmp_path, TWO)
    results.write_bytes(results.read_bytes()[:200])
    with pytest.raises(ValueError, match=r'results.json is no whole JSON: it is cut off at byte \d+ of 200'):
        generate_pseudo_labels(results, images, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_boxes_are_those_of_the_masks_where_none_are_given(tmp_path):
    without = [{key: value for key, value in entry.items() if key != 'bbox'} for entry in TWO]
    for name, entries in (('with', TWO), ('without', without)):
        results = write_results(tmp_path / name, entries)
        generate_pseudo_labels(*results, tmp_path / name / 'out', LabelSettings(shape='box'))
    maps = [read_labels(tmp_path / name / 'out' / 'labels' / 'a.png') for name in ('with', 'without')]
    assert np.array_equal(*maps)
    assert (maps[0][:4, :3] == 1).all()  # the last row and column of a box are its own


def test_a_json_of_masks_needs_no_list_of_images(tmp_path):
    _, images = write_results(tmp_path, [])
    listing = [dict(id=number, file_name=f'VOC2012/{name}.jpg', height=6, width=8) for number, name in enumerate('ab')]
    masks = [dict(id=1, image_id=1, category_id=3, iscrowd=0, area=9, **rectangle(0, 0, 3, 3))]
    content = dict(images=listing, annotations=masks, categories=[dict(id=number, name=str(number)) for number in
                                                                  range(5)])
    (tmp_path / 'masks.json').write_text(json.dumps(content))
    report = generate_pseudo_labels(tmp_path / 'masks.json', images, tmp_path / 'out')
    assert (read_labels(tmp_path / 'out' / 'labels' / 'b.png') == 4).sum() == 9
    assert (report.num_categories, report.without) == (5, ['a'])


def test_unknown_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"image id 'z' is unknown to .*images: .*by --gt"):
        generate_pseudo_labels(*write_results(tmp_path, [dict(TWO[0], image_id='z')]), tmp_path / 'out')
    results, images = write_results(tmp_path, [dict(TWO[0], image_id=7)])
    gt = dict(images=[dict(id=1, file_name='a.png', height=6, width=8)], annotations=[],
              categories=[dict(id=0, name='object')])
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    with pytest.raises(ValueError, match=r'image id 7 is unknown to .*gt.json'):
        generate_pseudo_labels(results, images, tmp_path / 'out', gt=tmp_path / 'gt.json')
    gt['images'] += [dict(id=7, file_name='gone.png', height=6, width=8)]
    (tmp_path / 'gt.json').write_text(json.dumps(gt))
    with pytest.raises(FileNotFoundError, match=r'1 of the 2 images of .*gt.json are not in .*\(gone.png\)'):
        generate_pseudo_labels(results, images, tmp_path / 'out', gt=tmp_path / 'gt.json')


def test_masks_and_images_of_other_sizes(tmp_path):
    results, images = write_results(tmp_path, TWO)
    write_image(images / 'a.png', (12, 16))
    report = generate_pseudo_labels(results, images, tmp_path / 'out')
    assert read_labels(tmp_path / 'out' / 'labels' / 'a.png').shape == (6, 8)  # training resizes it
    assert report.other_sizes == ['a']
    assert '1 images have another size than their predictions (a)' in report.summary()
    with pytest.raises(ValueError, match=r'a.png has 12 x 16 pixels, its predictions are of 6 x 8.*GrabCut'):
        generate_pseudo_labels(results, images, tmp_path / 'cut', LabelSettings(shape='grabcut'))
    wrong = [TWO[0], dict(TWO[2], **rectangle(0, 0, 1, 1, (8, 6)))]
    with pytest.raises(ValueError, match=r"Prediction 1 of image 'a' .*its mask has 8 x 6 pixels, its image 6 x 8"):
        generate_pseudo_labels(*write_results(tmp_path, wrong), tmp_path / 'other')


def test_grabcut_runs_on_the_image(tmp_path):
    results, images = write_results(tmp_path, [dict(TWO[0], **rectangle(14, 22, 48, 66, (60, 80)))], size=(60, 80))
    picture = np.random.default_rng(0).integers(0, 60, (60, 80, 3), dtype=np.uint8)
    picture[20:40, 30:60] += 150
    cv2.imwrite(str(images / 'a.png'), picture)
    generate_pseudo_labels(results, images, tmp_path / 'out', LabelSettings(shape='grabcut'))
    found = read_labels(tmp_path / 'out' / 'labels' / 'a.png')
    assert (found[20:40, 30:60] == 1).all()
    assert found.sum() == 600


def test_scores_of_a_folder(tmp_path):
    generate_pseudo_labels(*write_results(tmp_path, TWO), tmp_path / 'out')
    truth = read_labels(tmp_path / 'out' / 'labels' / 'a.png')
    (tmp_path / 'gt').mkdir()
    cv2.imwrite(str(tmp_path / 'gt' / 'a.png'), np.array([0, 2, 1], np.uint8)[truth])  # other names
    named = score_folder(tmp_path / 'out', tmp_path / 'gt', 3, 3, 'direct')
    assert named.scores.iou.tolist() == [1, 0, 0]
    matched = score_folder(tmp_path / 'out', tmp_path / 'gt', 3, 3)
    assert matched.scores.miou == 1
    assert (matched.maps, matched.without) == (1, ['b'])
    assert 'mIoU 100.00 % over 3 classes' in matched.summary()
    assert 'Hungarian matching by IoU' in matched.summary()
    cv2.imwrite(str(tmp_path / 'gt' / 'b.png'), np.zeros((8, 6), np.uint8))
    with pytest.raises(ValueError, match=r'b.png has 6 x 8 pixels, its ground truth .*b.png 8 x 6'):
        score_folder(tmp_path / 'out', tmp_path / 'gt', 3, 3)
    with pytest.raises(FileNotFoundError, match='holds no label maps'):
        score_folder(tmp_path / 'gt', tmp_path / 'gt', 3, 3)


def test_wrong_settings():
    with pytest.raises(ValueError, match="overlap='last' is unknown"):
        LabelSettings(overlap='last')
    with pytest.raises(ValueError, match='threshold=nan'):
        LabelSettings(threshold=float('nan'))


def test_pictures_and_lists_replace_nothing_of_the_user(tmp_path):
    results, images = write_results(tmp_path, TWO)
    before = {path: path.read_bytes() for path in images.iterdir()}
    mine = tmp_path / 'holiday' / 'a.jpg'
    mine.parent.mkdir()
    mine.write_bytes(b'mine')
    with pytest.raises(ValueError, match=r'a\.jpg would be replaced, but no run wrote it there'):
        generate_pseudo_labels(results, images, tmp_path / 'out', show_dir=mine.parent)
    assert mine.read_bytes() == b'mine'
    mine = tmp_path / 'lists' / 'images.txt'
    mine.parent.mkdir()
    mine.write_text('mine')
    for _ in range(2):
        with pytest.raises(ValueError, match=r'images\.txt would be replaced'):
            generate_pseudo_labels(results, images, mine.parent)
    assert mine.read_text() == 'mine'
    for _ in range(2):  # pictures beside the maps: neither is taken for an image afterwards
        generate_pseudo_labels(results, images, tmp_path / 'out', show_dir=tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match='no image'):
        list_images(tmp_path / 'out')
    assert {path: path.read_bytes() for path in images.iterdir()} == before
