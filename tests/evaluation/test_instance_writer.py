"""InstanceResultsWriter: the file of a run is COCO's, in order, whole, and the same from any number of processes."""

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from leopart_mm.evaluation import InstanceResultsWriter, instance_writer
from tests.distributed import run_distributed

SIZE = (6, 8)


def sample(number, count=3, masks=True):
    """An image of which instance i covers the first i + 1 columns; scores rise with i."""
    generator = torch.Generator().manual_seed(number)
    found = dict(bboxes=torch.rand(count, 4, generator=generator) * 4 + torch.tensor([0., 0., 4., 4.]),
                 scores=torch.linspace(0.2, 0.9, count), labels=torch.arange(count) % 2)
    if masks:
        found['masks'] = torch.arange(SIZE[1]).expand(count, *SIZE) <= torch.arange(count)[:, None, None]
    return dict(img_id=number, pred_instances=found)


def run(folder, samples, size=None, **arguments):
    writer = InstanceResultsWriter(None if folder is None else str(folder), **arguments)
    for entry in samples:
        writer.process(None, [entry])
    return writer.evaluate(size or len(samples))


def read(folder):
    return json.loads((folder / 'predictions.json').read_text())


def test_entries_are_cocos_and_sorted_by_score(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(instance_writer, 'print_log', lambda text, **kwargs: said.append(text))
    metrics = run(tmp_path, [sample(4), sample(2, 0), sample(9, 1)])
    assert metrics == dict(images=3, instances=4, images_without=1)
    assert said[-1] == instance_writer.NO_SCORE
    found = read(tmp_path)
    assert [entry['image_id'] for entry in found] == [4, 4, 4, 9]
    assert [entry['score'] for entry in found[:3]] == pytest.approx([0.9, 0.55, 0.2])
    assert [entry['category_id'] for entry in found[:3]] == [0, 1, 0]
    boxes = sample(4)['pred_instances']['bboxes'].flip(0).numpy()
    for entry, (x1, y1, x2, y2), columns in zip(found[:3], boxes, (3, 2, 1), strict=True):
        assert entry['bbox'] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
        mask = coco_mask.decode(entry['segmentation'])
        assert mask.shape == SIZE
        assert mask[:, :columns].all()
        assert not mask[:, columns:].any()
    assert not list(tmp_path.glob('*.part'))


def test_labels_become_the_categories_of_the_data(tmp_path):
    writer = InstanceResultsWriter(str(tmp_path))
    writer.dataset_meta = dict(classes=('a', 'b'), category_ids=(5, 17))
    writer.process(None, [sample(0)])
    writer.evaluate(1)
    assert {entry['category_id'] for entry in read(tmp_path)} == {5, 17}
    run(tmp_path / 'given', [sample(0)], category_ids=[1, 2])
    assert {entry['category_id'] for entry in read(tmp_path / 'given')} == {1, 2}


def test_masks_without_a_pixel_are_left_out_and_boxes_need_no_masks(tmp_path):
    entry = sample(0)
    entry['pred_instances']['masks'][1] = False
    assert run(tmp_path, [entry])['instances'] == 2
    assert run(tmp_path / 'boxes', [sample(0, masks=False)])['instances'] == 3
    assert 'segmentation' not in read(tmp_path / 'boxes')[0]
    assert run(None, [sample(0)]) == dict(images=1, instances=3, images_without=0)


def test_a_killed_run_leaves_no_file_and_the_next_one_replaces_what_is_there(tmp_path):
    writer = InstanceResultsWriter(str(tmp_path))
    writer.process(None, [sample(0)])
    del writer
    assert not (tmp_path / 'predictions.json').exists()
    run(tmp_path, [sample(1)])
    run(tmp_path, [sample(2)])
    assert {entry['image_id'] for entry in read(tmp_path)} == {2}
    assert not list(tmp_path.glob('.predictions*'))


def _on_one_of_two(folder):
    rank = torch.distributed.get_rank()
    numbers = [0, 2, 4] if rank == 0 else [1, 3, 0]  # the sampler repeats the first image
    return run(folder, [sample(number, number % 3) for number in numbers], 5)


def test_two_processes_write_what_one_does(tmp_path):
    alone = run(tmp_path / 'one', [sample(number, number % 3) for number in range(5)])
    assert run_distributed(_on_one_of_two, 2, tmp_path / 'two') == [alone, alone]
    assert (tmp_path / 'two' / 'predictions.json').read_bytes() == (tmp_path / 'one' / 'predictions.json').read_bytes()


def test_memory_holds_three_numbers_per_image(tmp_path):
    writer = InstanceResultsWriter(str(tmp_path))
    for number in range(3):
        writer.process(None, [sample(number)])
    assert [(key, count) for key, _, count in writer.images] == [(0, 3), (1, 3), (2, 3)]
    assert not writer.results
    assert np.diff([place for _, place, _ in writer.images]).min() > 100
