"""The naming page in a real browser: a person types, picks, merges, hides and saves; the next run shows it.

With SCREENSHOTS=FOLDER, pictures of the page and of an overlay before and after the edits are kept there.
"""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np

from leopart_mm.apis.folder_run import FolderRun
from leopart_mm.apis.inferencer import LeopartInferencer
from leopart_mm.visualization.cluster_names import ClusterNames
from leopart_mm.visualization.cluster_page import ClusterPage
from tests.apis.builders import stub_config
from tests.visualization.browser import open_page
from tests.visualization.test_cluster_names import ODD_NAMES

SKY, ROOF, WALL, DOOR, GRASS = range(5)
VALUES = np.array([20, 60, 100, 140, 180])  # brightness of each; the model's labels are brightness // 40


def write_houses(folder, number=4):
    """Pictures of houses, each brightness one cluster of the model."""
    folder.mkdir()
    for index in range(number):
        labels = np.full((120, 160), SKY)
        labels[90:] = GRASS
        left = 20 + 15 * index
        labels[50:95, left:left + 60] = WALL
        labels[70:95, left + 20:left + 35] = DOOR
        labels[35:50, left - 5:left + 65] = ROOF
        cv2.imwrite(str(folder / f'{index}.png'), np.repeat(VALUES[labels][..., None], 3, 2).astype(np.uint8))


def segment(images, out):
    inferencer = LeopartInferencer(dict(state_dict={}), stub_config(step=40))
    FolderRun(inferencer, out, overlays=True, sheet=True, read_names=True).run(str(images))
    return inferencer


def keep(page, name, folder):
    """A screenshot that is a picture."""
    page.screenshot(path=folder / name)
    assert cv2.imread(str(folder / name)).std() > 5
    if os.environ.get('SCREENSHOTS'):
        Path(os.environ['SCREENSHOTS']).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, os.environ['SCREENSHOTS'])


def name(page, number, text):
    page.fill(f'#name-{number}', text)
    page.press(f'#name-{number}', 'Enter')


def canvas(page, index=0):
    """The pixels of an example image, (H, W, 3)."""
    size, values = page.evaluate('''(index) => {
        const canvas = document.querySelectorAll('#previews canvas')[index];
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return [[canvas.height, canvas.width], Array.from(data)];
    }''', index)
    return np.array(values, np.uint8).reshape(*size, 4)[..., :3]


def save(page, file):
    page.click('#save')
    with page.expect_download() as download:
        page.click('#download')
    assert download.value.suggested_filename == 'names.yaml'
    download.value.save_as(file)


def test_a_person_names_clusters_and_the_next_run_shows_it(tmp_path):
    write_houses(tmp_path / 'in')
    out, errors = tmp_path / 'out', []
    segment(tmp_path / 'in', out)
    with open_page(out / 'clusters.html', errors, viewport=dict(width=1300, height=900)) as page:
        keep(page, 'naming_1_before.png', tmp_path)
        assert page.inner_text('#progress') == '0 of 5 named'
        assert page.locator('.card:visible').count() == 5
        name(page, ROOF, '  house "red" 🏠 ')
        assert page.evaluate('document.activeElement.id') in {f'name-{number}' for number in range(5)}  # the next one
        page.click(f'label:has(#background-{SKY})')
        page.click(f'label:has(#hidden-{GRASS})')
        for number in (WALL, DOOR):
            page.check(f'#select-{number}')
        keep(page, 'naming_2_selected.png', tmp_path)
        page.click('#merge')
        assert page.locator('.card:visible').count() == 4
        page.keyboard.type('<wall> & door')
        page.keyboard.press('Enter')
        page.fill(f'#colour-{ROOF}', '#ff0000')
        assert page.inner_text('#progress') == '2 of 4 named'
        painted = canvas(page)
        keep(page, 'naming_3_edited.png', tmp_path)
        save(page, out / 'names.yaml')
        keep(page, 'naming_4_saved.png', tmp_path)
    assert errors == []
    names = ClusterNames.load(out / 'names.yaml', 512)
    assert names.names[:5] == ['cluster 0', 'house "red" 🏠', '<wall> & door', '<wall> & door', 'cluster 4']
    assert names.colours[ROOF].tolist() == [255, 0, 0]
    assert names.colours[WALL].tolist() == names.colours[DOOR].tolist()
    assert np.flatnonzero(names.background).tolist() == [SKY]
    assert np.flatnonzero(names.hidden).tolist() == [GRASS]
    before = cv2.imread(str(out / 'overlays' / '0.jpg'))
    assert segment(tmp_path / 'in', out).report.num_present == 4  # nothing was segmented again
    after = cv2.imread(str(out / 'overlays' / '0.jpg'))[..., ::-1]
    assert np.abs(after[5, 5].astype(int) - 6).max() < 8  # the sky is dark
    assert np.abs(after[110, 5].astype(int) - VALUES[GRASS]).max() < 8  # the grass as it is
    assert np.abs(after[42, 50].astype(int) - (0.4 * VALUES[ROOF] + 0.6 * np.array([255, 0, 0]))).max() < 12
    difference = np.abs(after.astype(int) - painted)  # the page promised it: what differs is JPEG
    assert np.median(difference) <= 3
    assert (difference.max(-1) < 60).mean() > 0.97
    if os.environ.get('SCREENSHOTS'):
        cv2.imwrite(os.path.join(os.environ['SCREENSHOTS'], 'naming_5_overlay.png'),
                    np.concatenate([before, after[..., ::-1]], 1))
    with open_page(out / 'clusters.html', errors, viewport=dict(width=1300, height=900)) as page:
        assert page.inner_text('#progress') == '2 of 4 named'
        assert page.input_value(f'#name-{ROOF}') == 'house "red" 🏠'
        assert page.is_checked(f'#hidden-{GRASS}')
        keep(page, 'naming_6_next_run.png', tmp_path)
        save(page, tmp_path / 'again.yaml')
    assert errors == []
    assert (tmp_path / 'again.yaml').read_bytes() == (out / 'names.yaml').read_bytes()


def write_page(folder, num_clusters):
    """A page of clusters in communities of 25, the first ones with odd names, and its names file."""
    names = ClusterNames.default(num_clusters)
    names.names[:len(ODD_NAMES)] = ODD_NAMES
    sheet = ClusterPage(num_clusters, names, [number // 25 for number in range(num_clusters)])
    for index in range(3):
        cells = np.roll(np.arange(num_clusters), index).reshape(-1, 25)
        labels = np.repeat(np.repeat(cells, 12, 0), 12, 1)
        image = cv2.applyColorMap((labels % 256).astype(np.uint8), cv2.COLORMAP_JET)
        sheet.add(image, labels)
    sheet.write(folder / 'clusters.html', model='0123')
    names.save(folder / 'names.yaml', sheet.shares, '0123')
    return folder / 'clusters.html'


def test_500_clusters_and_odd_names(tmp_path):
    errors, many = [], write_page(tmp_path, 500)
    with open_page(many, errors) as page:
        assert page.locator('.card').count() == 500
        assert [page.input_value(f'#name-{number}') for number in range(len(ODD_NAMES))] == [
            text.strip() for text in ODD_NAMES]
        save(page, tmp_path / 'saved.yaml')
        page.click('#close')
        page.fill('#search', 'cow')
        assert page.locator('.card:visible').count() == 1
        assert page.locator('#list h2:visible').count() == 1  # the one community that it is in
        page.fill('#search', '')
        page.select_option('#sort', 'number')
        assert page.locator('.card').nth(3).get_attribute('id') == 'card-3'
        assert page.locator('#list h2').count() == 0
    assert errors == []
    assert (tmp_path / 'saved.yaml').read_bytes() == (tmp_path / 'names.yaml').read_bytes()


def test_the_same_name_merges_and_undo_takes_it_back(tmp_path):
    errors = []
    with open_page(write_page(tmp_path, 50), errors) as page:
        colours = [page.input_value(f'#colour-{number}') for number in (30, 40)]
        name(page, 30, 'grass')
        name(page, 40, 'grass')
        assert 'one segment of 2 clusters' in page.inner_text('#toast-text')
        assert page.is_hidden('#card-40')
        assert page.locator('#card-30 .examples img').count() == 2
        assert page.evaluate('state.colours[40]') == colours[0]
        page.click('#separate-40')
        assert page.input_value('#name-40') == 'cluster 40'
        assert page.input_value('#colour-40') == colours[1]
        page.click('#undo')
        page.click('#undo')
        assert [page.input_value(f'#name-{number}') for number in (30, 40)] == ['grass', 'cluster 40']
        page.fill('#name-40', 'grass')  # the click that ends the typing makes card 40 vanish, and hits its aim
        page.click('label:has(#hidden-41)')
        page.wait_for_function('document.getElementById("card-40").hidden')
        assert page.is_checked('#hidden-41')
        name(page, 30, ' \t ')  # no name at all
        assert page.input_value('#name-30') == 'cluster 30'
    assert errors == []


def test_unsaved_names_are_there_again(tmp_path):
    errors = []
    with open_page(write_page(tmp_path, 50), errors) as page:
        name(page, 30, 'draft')
        page.on('dialog', lambda dialog: dialog.accept())  # "leave the page?"
        page.reload()
        page.wait_for_function('document.body.dataset.ready')
        assert page.input_value('#name-30') == 'draft'
        page.click('#undo')
        assert page.input_value('#name-30') == 'cluster 30'
    assert errors == []
