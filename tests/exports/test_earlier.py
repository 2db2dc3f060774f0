"""Earlier exports follow names and label maps, with the options that they were made with."""

import json
import os

import numpy as np

from leopart_mm.evaluation.label_writer import write_labels
from leopart_mm.exports import export_folder, refresh_exports, remove_exports
from tests.exports.builders import LABELS, segmented, write_names


def categories(out):
    return [entry['name'] for entry in json.loads((out / 'exports' / 'coco.json').read_text())['categories']]


def test_an_export_follows_names_with_its_own_options(tmp_path):
    out = segmented(tmp_path)
    export_folder(out, ['coco', 'geojson'], min_area=3, whole=True)
    assert refresh_exports(out) == []  # nothing has changed
    time = (out / 'exports' / 'coco.json').stat().st_mtime_ns
    write_names(out, '{0: {name: grass}}')
    reports = refresh_exports(out, without=['geojson'])
    assert [list(report.files) for report in reports] == [['coco']]
    assert categories(out)[0] == 'grass'
    assert (out / 'exports' / 'coco.json').stat().st_mtime_ns > time
    once = (out / 'exports' / 'coco.json').read_bytes()
    export_folder(out, ['coco'], min_area=3, whole=True)
    assert (out / 'exports' / 'coco.json').read_bytes() == once
    assert [list(report.files) for report in refresh_exports(out)] == [['geojson']]
    assert refresh_exports(out) == []


def test_an_export_follows_label_maps(tmp_path):
    out = segmented(tmp_path)
    export_folder(out, ['coco'])
    before = (out / 'exports' / 'coco.json').read_bytes()
    file = out / 'labels' / 'a' / '1.png'
    write_labels(file, np.zeros_like(LABELS), 5)
    os.utime(file, ns=(1, 1))
    assert len(refresh_exports(out)) == 1
    assert (out / 'exports' / 'coco.json').read_bytes() != before


def test_removed_exports_are_made_again(tmp_path):
    out = segmented(tmp_path)
    export_folder(out, ['coco'])
    before = (out / 'exports' / 'coco.json').read_bytes()
    remove_exports(out)
    assert not (out / 'exports' / 'coco.json').exists()
    assert len(refresh_exports(out)) == 1
    assert (out / 'exports' / 'coco.json').read_bytes() == before
