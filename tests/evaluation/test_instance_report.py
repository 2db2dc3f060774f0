"""Whose predictions are, what raw clusters mean, and files that cannot be scored."""

import json

import pytest

from leopart_mm.datasets.coco_json import CocoFile, write_coco, write_results
from leopart_mm.evaluation.instance_report import assign_images, evaluate_instances, match_clusters, score_instances
from tests.evaluation.test_instance_ap import BIG, OTHER, SIZE, SMALL, TRUTH, ground_truth, thing


def write_truth(folder):
    write_coco(folder / 'gt.json', TRUTH.images, TRUTH.annotations, TRUTH.categories)
    return folder / 'gt.json'


def test_clusters_are_matched_by_scores_and_overlaps(tmp_path):
    results = [thing('a', 7, BIG, score=0.9), thing('a', 4, SMALL, score=0.8), thing('b', 7, SMALL, score=0.7),
               thing('c', 9, OTHER, score=0.6), thing('a', 4, BIG, score=0.1)]
    assert match_clusters(TRUTH, results) == {7: 0, 4: 1, 9: 0}  # class 2 has no object
    report = score_instances(TRUTH, results[:4], matching='hungarian')
    assert report.scores['multi'].ap50 == pytest.approx(1)  # what is wrong comes last
    assert 'Clusters were matched to classes by this ground truth (hungarian' in report.summary()
    assert '4 -> 1, 7 -> 0, 9 -> 0.' in report.summary()
    # of two clusters for a class the one of more votes has it, and the other takes what is left
    rivals = [thing('a', 4, BIG, score=0.9), thing('b', 4, SMALL, score=0.9), thing('a', 7, BIG, score=0.3)]
    assert match_clusters(TRUTH, rivals) == {4: 0, 7: 1}
    write_results(tmp_path / 'found.json', results[:4])
    found = evaluate_instances(tmp_path / 'found.json', write_truth(tmp_path), matching='hungarian')
    assert found.scores['multi'].stats == report.scores['multi'].stats
    with pytest.raises(ValueError, match=r'found\.json: Prediction 0 of image .a. has category 7, but'):
        evaluate_instances(tmp_path / 'found.json', tmp_path / 'gt.json')
    assert evaluate_instances(tmp_path / 'found.json', tmp_path / 'gt.json', class_aware=False).matching == ''
    with pytest.raises(ValueError, match="matching='x' is unknown"):
        score_instances(TRUTH, results, matching='x')


def test_crowds_get_no_cluster():
    truth = ground_truth([thing('a', 0, BIG, iscrowd=1), thing('a', 1, SMALL)])
    assert match_clusters(truth, [thing('a', 5, BIG, score=0.9), thing('a', 6, SMALL, score=0.3)]) == {5: 1, 6: 1}
    assert match_clusters(truth, []) == {}
    with pytest.raises(ValueError, match='has no object'):
        match_clusters(ground_truth([thing('a', 0, BIG, iscrowd=1)]), [])


def test_files_of_masks_find_images_by_name_and_say_that_they_are_clusters(tmp_path):
    images = [dict(id=number, file_name=f'sub/{name}.png', height=SIZE[0], width=SIZE[1])
              for number, name in ((5, 'b'), (6, 'a'))]
    masks = [dict(thing(6, 1, BIG), id=1), dict(thing(6, 0, SMALL), id=2), dict(thing(5, 1, SMALL), id=3)]
    write_coco(tmp_path / 'masks.json', images, masks, [dict(id=number, name=f'cluster {number}') for number in (0, 1)])
    report = evaluate_instances(tmp_path / 'masks.json', write_truth(tmp_path))
    assert (report.matching, report.classes) == ('hungarian', {0: 1, 1: 0})
    assert report.scores['multi'].ap50 == pytest.approx(1)
    direct = evaluate_instances(tmp_path / 'masks.json', tmp_path / 'gt.json', matching='direct')
    assert direct.scores['multi'].ap50 == 0
    assert direct.summary().endswith('Categories count as the classes of the same id (direct).')


def test_ids_that_are_names_of_files():
    found = CocoFile([], [thing('a.jpg', 0, BIG, score=1.), thing('b', 0, SMALL, score=1.)], [])
    results, unlisted = assign_images(TRUTH, found)
    assert [entry['image_id'] for entry in results] == ['a', 'b']
    assert unlisted == []


def test_images_that_the_ground_truth_does_not_list():
    found = CocoFile([], [thing('x', 0, BIG, score=1.), thing('a', 0, BIG, score=1.), thing(7, 0, BIG, score=1.)], [])
    with pytest.raises(ValueError, match=r"prediction 0 is of image 'x', which the ground truth .*--subset"):
        assign_images(TRUTH, found)
    results, unlisted = assign_images(TRUTH, found, subset=True)
    assert [entry['image_id'] for entry in results] == ['a']
    assert unlisted == ['x', '7']
    assert '2 images with predictions are not in the ground truth and were left out (x, 7).' in score_instances(
        TRUTH, results, unlisted=unlisted).summary()


def test_bad_files_are_named(tmp_path):
    gt = write_truth(tmp_path)
    whole = json.dumps([thing('a', 0, BIG, score=1.), thing('b', 0, SMALL, score=0.5)])
    file = tmp_path / 'found.json'
    for text, message in (
            (whole[:len(whole) * 3 // 4], rf'found\.json is no whole JSON: it is cut off at byte \d+ of '
                                          rf'{len(whole) * 3 // 4}'),
            (whole.replace('"image_id": "b"', '"image_id": "z"'),
             r"found\.json: prediction 1 is of image 'z', which the ground truth does not list"),
            (whole.replace('"category_id": 0', '"category_id": 3', 1),
             r"found\.json: Prediction 0 of image 'a' has category 3, but the ground truth has only 0, 1, 2"),
            (whole.replace('[20, 30]', '[30, 20]', 1),
             r"found\.json: Prediction 0 of image 'a' \(a\.jpg\) cannot be scored: its mask has 30 x 20 pixels, its "
             r'image 20 x 30'),
            ('{}', r'found\.json is no file of annotations')):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            evaluate_instances(file, gt)
    with pytest.raises(FileNotFoundError):
        evaluate_instances(tmp_path / 'none.json', gt)
