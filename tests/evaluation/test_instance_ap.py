"""Mask AP by hand-made scenes: what counts as right, wrong, missed, and what is left out."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from leopart_mm.datasets.coco_json import CocoFile
from leopart_mm.evaluation.coco_ap import SUMMARY, average_precision
from leopart_mm.evaluation.instance_ap import instance_scores

SIZE = 20, 30


def mask_of(x, y, width, height):
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[y:y + height, x:x + width] = 1
    lengths = coco_mask.encode(mask)
    return dict(size=list(SIZE), counts=lengths['counts'].decode())


def thing(image, category, box, **more):
    return dict(image_id=image, category_id=category, segmentation=mask_of(*box), bbox=[float(x) for x in box], **more)


def ground_truth(annotations, images=('a', 'b', 'c')):
    return CocoFile([dict(id=name, file_name=f'{name}.jpg', height=SIZE[0], width=SIZE[1]) for name in images],
                    [dict(entry, id=number) for number, entry in enumerate(annotations, 1)],
                    [dict(id=number, name=str(number)) for number in range(3)])


SMALL, BIG, OTHER = (1, 1, 4, 4), (10, 2, 12, 10), (0, 12, 8, 6)
TRUTH = ground_truth([thing('a', 0, BIG), thing('a', 1, SMALL), thing('b', 0, SMALL)])


def test_multi_misses_the_objects_of_images_without_a_prediction():
    results = [thing('a', 0, BIG, score=0.9), thing('a', 1, SMALL, score=0.8)]
    found = instance_scores(TRUTH, results)
    # category 0: one of two objects found, precision 1 up to a recall of 0.5 (51 of 101 points); category 1: all
    assert found.ap50 == pytest.approx((51 / 101 + 1) / 2)
    assert (found.images, found.objects, found.predictions) == (3, 3, 2)
    assert found.without_prediction == ['b.jpg', 'c.jpg']
    assert found.without_truth == []
    assert '2 images without a prediction, their objects are missed (b.jpg, c.jpg)' in found.summary()
    assert found.summary().startswith('multi (all predictions): AP50 75.25 %')


def test_single_leaves_them_out_and_keeps_one_object_per_image():
    results = [thing('a', 1, SMALL, score=0.8), thing('a', 0, BIG, score=0.9), thing('a', 2, OTHER, score=0.9)]
    found = instance_scores(TRUTH, results, 'single')
    assert (found.ap50, found.objects, found.predictions) == (pytest.approx(1), 1, 1)  # the first of the two best ones
    assert found.without_prediction == ['b.jpg', 'c.jpg']
    # the object of the largest box IoU is taken whatever its class
    found = instance_scores(TRUTH, [thing('a', 2, BIG, score=0.9)], 'single')
    assert (found.ap50, found.objects) == (0, 1)
    assert instance_scores(TRUTH, [thing('a', 2, BIG, score=0.9)], 'single', class_aware=False).ap50 == pytest.approx(1)


def test_single_prediction_without_an_object_counts_as_wrong():
    good, lost = thing('a', 0, BIG, score=0.5), thing('c', 0, BIG, score=0.9)
    found = instance_scores(TRUTH, [good, lost], 'single')
    assert found.ap50 == pytest.approx(0.5)
    assert found.without_truth == ['c.jpg']
    assert '1 images with a prediction but without an object, which counts as wrong (c.jpg)' in found.summary()
    assert instance_scores(TRUTH, [good], 'single').ap50 == pytest.approx(1)


def test_crowds_are_ignored_and_never_the_object():
    truth = ground_truth([thing('a', 0, BIG, iscrowd=1), thing('a', 0, SMALL)])
    on_crowd = thing('a', 0, BIG, score=0.9)
    found = instance_scores(truth, [on_crowd, thing('a', 0, SMALL, score=0.5)])
    assert (found.ap50, found.objects) == (pytest.approx(1), 1)
    found = instance_scores(truth, [on_crowd], 'single')
    assert (found.ap50, found.objects) == (0, 1)  # SMALL is the object, and it is missed
    published = instance_scores(truth, [on_crowd], 'single', crowds=True)
    assert (published.ap50, published.objects) == (-1, 0)
    assert 'AP50 none (no object to find)' in published.summary()
    # what lies on a crowd is no wrong answer
    truth = ground_truth([thing('a', 0, BIG, iscrowd=1), thing('b', 0, SMALL)])
    assert instance_scores(truth, [on_crowd, thing('b', 0, SMALL, score=0.5)], 'single').ap50 == pytest.approx(1)


def test_published_numbers_lose_the_first_object():
    results = [thing('a', 0, BIG, score=0.9), thing('b', 0, SMALL, score=0.8), thing('a', 1, SMALL, score=0.8)]
    assert instance_scores(TRUTH, results).ap50 == pytest.approx(1)
    assert instance_scores(TRUTH, results, first_id=0).ap50 < 0.99


def test_no_result_scores_nothing_and_masks_may_be_polygons_or_plain_run_lengths():
    assert instance_scores(TRUTH, []).ap50 == 0
    assert instance_scores(TRUTH, [], 'single').ap50 == -1
    polygon = dict(image_id='b', category_id=0, segmentation=[[1, 1, 5, 1, 5, 5, 1, 5]], score=0.4)
    counts = [1 + 20] + [4, 16] * 3 + [4, 20 * 30 - 21 - 4 * 4 - 3 * 16]
    plain = dict(image_id='a', category_id=1, segmentation=dict(size=list(SIZE), counts=counts))
    found = instance_scores(TRUTH, [polygon, plain, thing('a', 0, BIG, score=0.9)])
    assert found.ap50 == pytest.approx(1)


@pytest.mark.parametrize(('entry', 'message'), [
    (thing('z', 0, BIG), "Prediction 1 is of image 'z', which the ground truth does not list"),
    (thing('a', 7, BIG), "Prediction 1 of image 'a' has category 7, but the ground truth has only 0, 1, 2"),
    (thing('a', 0, BIG, score=float('nan')), "Prediction 1 of image 'a' has the score nan"),
    (dict(image_id='a', category_id=0, bbox=[0, 0, 2, 2]), r"Prediction 1 of image 'a' \(a.jpg\) cannot be scored: it "
                                                           r'has no mask'),
    (dict(thing('a', 0, BIG), segmentation=dict(size=[9, 9], counts=[81])),
     r'cannot be scored: its mask has 9 x 9 pixels, its image 20 x 30'),
])
def test_bad_results_are_named(entry, message):
    with pytest.raises(ValueError, match=message):
        instance_scores(TRUTH, [thing('a', 0, BIG), entry])
    if entry['category_id'] == 7:
        assert instance_scores(TRUTH, [entry], class_aware=False).ap50 >= 0
    with pytest.raises(ValueError, match="mode='best' is unknown"):
        instance_scores(TRUTH, [], 'best')


def test_ids_of_both_kinds_and_any_order_are_kept_apart():
    """An array of ids would make '1' of 1; pycocotools' own way through loadRes gives the same numbers."""
    truth = ground_truth([thing(1, 0, BIG), thing('1', 0, SMALL)], images=(1, '1'))
    assert instance_scores(truth, [thing('1', 0, SMALL, score=1.), thing(1, 0, BIG, score=1.)]).ap50 == pytest.approx(1)
    assert instance_scores(truth, [thing(1, 0, SMALL, score=1.), thing('1', 0, BIG, score=1.)]).ap50 == 0


def test_equals_pycocotools():
    generator = np.random.default_rng(0)

    def draw(score):
        x, y = generator.integers(0, 14), generator.integers(0, 10)
        box = (int(x), int(y), int(generator.integers(3, 12)), int(generator.integers(3, 9)))
        more = dict(score=float(generator.random())) if score else dict(area=box[2] * box[3], iscrowd=0)
        return thing(int(generator.integers(6)) + 10, int(generator.integers(3)), box, **more)

    truth = ground_truth([draw(False) for _ in range(20)], images=(15, 10, 11, 14, 13, 12))
    results = [draw(True) for _ in range(40)]
    reference = COCO()
    reference.dataset = dict(images=truth.images, annotations=[dict(entry) for entry in truth.annotations],
                             categories=truth.categories)
    reference.createIndex()
    evaluation = COCOeval(reference, reference.loadRes([dict(entry) for entry in results]), 'segm')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    found = instance_scores(truth, results)
    np.testing.assert_allclose([found.stats[name] for name in SUMMARY], evaluation.stats, atol=1e-12)
    assert 0 < found.ap50 < 1
    boxes = average_precision(truth.images, truth.annotations, results, range(3))
    assert boxes['AP50'] == pytest.approx(found.ap50)  # the masks are boxes
