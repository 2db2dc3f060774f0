"""Runs of ObjectSeedProposals over a folder: counts, files, other kinds of images, what a user is told."""

import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from leopart_mm.apis import generate_masks as module
from leopart_mm.datasets.image_reading import read_image
from leopart_mm.masks import ObjectSeedProposals
from tests.apis.proposal_sources import PIPELINE, propose


@pytest.fixture
def pictures(tmp_path):
    """Noise of two sizes, as colours, grey and CMYK, and the latter two as colours."""
    rng = np.random.default_rng(0)
    colours, grey = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), rng.integers(0, 256, (40, 30), dtype=np.uint8)
    folder = tmp_path / 'in'
    folder.mkdir()
    Image.fromarray(colours).save(folder / 'colours.png')
    Image.fromarray(grey).save(folder / 'grey.png')
    Image.fromarray(colours).convert('CMYK').save(folder / 'ink.jpg', quality=100, subsampling=0)
    Image.fromarray(np.repeat(grey[..., None], 3, 2)).save(folder / 'same_as_grey.png')
    ink = read_image(folder / 'ink.jpg')
    assert ink.shape == (30, 40, 3)
    Image.fromarray(ink[..., ::-1]).save(folder / 'same_as_ink.png')
    return folder


def run(pictures, out, source=None, **options):
    _, report = propose(pictures, out, source or ObjectSeedProposals(), pipeline=PIPELINE, **options)
    return report, json.loads((out / 'annotations.json').read_text())


def test_images_without_object_are_counted_and_kept(tmp_path, pictures, monkeypatch):
    """Grey and CMYK images are read as RGB; the keys of every image of 40 x 30 pixels break."""
    grow = ObjectSeedProposals._draft

    def broken(self, inputs, index):
        if inputs.names[index].endswith('grey'):
            inputs.token_k[index, 0, 3] = torch.nan
        return grow(self, inputs, index)

    _, whole = run(pictures, tmp_path / 'whole')
    masks = {entry['image_id']: entry['segmentation'] for entry in whole['annotations']}
    assert [image['file_name'] for image in whole['images']] == [
        'colours.png', 'grey.png', 'ink.jpg', 'same_as_grey.png', 'same_as_ink.png']
    assert masks[2] == masks[4] != masks[1]
    assert masks[3] == masks[5]
    monkeypatch.setattr(ObjectSeedProposals, '_draft', broken)
    report, found = run(pictures, tmp_path / 'out')
    assert report.empty == ['grey', 'same_as_grey']
    assert '2 images have no mask (grey, same_as_grey)' in report.summary()
    assert len(found['images']) == 5
    assert [(entry['id'], entry['image_id']) for entry in found['annotations']] == [
        (1, 1), (2, 3), (3, 5)]
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['without_masks'] == ['grey', 'same_as_grey']


def test_a_run_whose_masks_fill_the_images_warns(tmp_path, pictures, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'print_log', lambda text, logger, level: said.append((level, text)))
    constant = ObjectSeedProposals._draft

    def whole(self, inputs, index):
        inputs.token_k[index] = 1.
        return constant(self, inputs, index)

    monkeypatch.setattr(ObjectSeedProposals, '_draft', whole)
    report, _ = run(pictures, tmp_path / 'out')
    assert report.filled == ['colours', 'grey', 'ink', 'same_as_grey', 'same_as_ink']
    assert 'of 5 images a mask covers 95% or more (colours, ' in report.summary()
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['filled'] == report.filled
    (level, text), = said
    assert level == logging.WARNING
    assert 'of 5 of 5 images a mask covers 95% or more' in text
    assert 'proposals.center_keys=True' in text
    assert run(pictures, tmp_path / 'out')[0].filled == report.filled  # resumed
    assert len(said) == 2


def test_neither_batches_nor_processes_change_the_file(tmp_path, pictures):
    expected = run(pictures, tmp_path / 'one')[1]
    assert len(expected['annotations']) == 5
    assert run(pictures, tmp_path / 'two', batch_size=1, workers=1)[1] == expected


def test_images_of_a_coco_file_without_annotations_have_a_mask_too(tmp_path, pictures):
    """The published code reads the id of an image from its first annotation."""
    entries = [dict(id=number, file_name=f'{name}.png', height=40, width=30)
               for number, name in ((7, 'same_as_grey'), (3, 'grey'))]
    listing = tmp_path / 'instances.json'
    listing.write_text(json.dumps(dict(images=entries, annotations=[dict(id=1, image_id=3, category_id=0)],
                                       categories=[dict(id=0, name='thing')])))
    _, found = run(pictures, tmp_path / 'out', dataset=dict(ann_file=str(listing)))
    names = {image['id']: image['file_name'] for image in found['images']}
    assert sorted(names[entry['image_id']] for entry in found['annotations']) == ['grey.png', 'same_as_grey.png']


def test_a_file_that_was_cut_off_is_made_again_from_the_images_that_are_there(tmp_path, pictures, monkeypatch):
    file = tmp_path / 'out' / 'annotations.json'
    run(pictures, tmp_path / 'out')
    whole = file.read_bytes()
    file.write_bytes(whole[:len(whole) // 2])
    monkeypatch.setattr(ObjectSeedProposals, '_draft', None)  # no mask is grown again
    report, _ = run(pictures, tmp_path / 'out')
    assert (report.num_present, report.num_done) == (5, 0)
    assert file.read_bytes() == whole
