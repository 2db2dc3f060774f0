"""Segmenting folders, checkpoints of all kinds, naming files, options of the command line."""

import argparse
import io
import json
import os
import pickle
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from leopart_mm.apis.folder_run import FolderRun
from leopart_mm.apis.inferencer import LeopartInferencer
from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.cli.arguments import add_common_arguments
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.engine.config import load_config
from leopart_mm.evaluation import LabelMapWriter, read_labels
from leopart_mm.visualization.cluster_names import ClusterNames
from tests.apis.builders import fitted_checkpoint
from tests.odd_inputs.case import case, error_of, log_lines, said

RUNS, CHECKPOINTS, NAMES, OPTIONS = ('Segmenting a folder', 'Checkpoints', 'Naming files', 'Options')
COMMAND = 'tools/segment_folder.py FOLDER --overlay --sheet'
NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


@cache
def fitted(side=32):
    """The content of a checkpoint of a tiny fitted model, made once."""
    with TemporaryDirectory() as folder:
        return torch.load(fitted_checkpoint(Path(folder) / 'fitted.pth', resize=(side, side)), weights_only=True)


def segment(folder, *names, content=None, **options):
    """Segment images of these names (text or bytes); returns the run and its report."""
    (folder / 'in').mkdir()
    for name in names:
        with open(os.path.join(os.fsencode(folder / 'in'), os.fsencode(name)), 'wb') as file:
            file.write(cv2.imencode('.png', NOISE)[1].tobytes() if content is None else content)
    run = FolderRun(LeopartInferencer(fitted(), device='cpu'), folder / 'out', overlays=True, sheet=True, **options)
    return run, run.run(str(folder / 'in'))


def survives(title, name, shown=None):
    """A file name that survives all that is written for it."""

    @case(RUNS, title, COMMAND)
    def run(folder):
        _, report = segment(folder, name)
        assert report.num_done == 1
        stem = os.fsdecode(name)[:-4]
        assert read_labels(f'{folder}/out/labels/{stem}.png').shape == (24, 40)
        assert os.path.isfile(f'{folder}/out/overlays/{stem}.jpg')
        json.loads((folder / 'out/report.json').read_text())
        assert 'id="data"' in (folder / 'out/clusters.html').read_text()
        return 'Label map and overlay have this name; names.yaml, report.json and sheet are written.'


survives('A file name that is not UTF-8 (`caf\\xe9.png`)', b'caf\xe9.png')
survives('Blanks, quotes and signs in a name', 'my "cat" & \'dog\' <1> #2 100%.png')
survives('Emoji and Chinese in a name', '\U0001f408 \u732b.png')
survives('A line break in a name', 'two\nlines.png')
survives('A name of 255 bytes', 'n' * 251 + '.png')
survives('Dots in a name', 'v1.2.3.png')


@case(RUNS, 'A damaged file whose name is not UTF-8 and has a line break', COMMAND)
def _damaged(folder):
    _, report = segment(folder, b'caf\xe9\n1.png', content=b'\x89PNG')
    text = report.summary()
    assert r'caf\xe9\n1.png' in text
    assert '\n' not in text
    return f'Says: {text}'


@case(RUNS, 'Long names with the same ending but for the type (250 x n, .png and .jpg)', COMMAND)
def _long(folder):
    _, report = segment(folder, 'n' * 251 + '.png', 'n' * 251 + '.jpg')
    assert report.num_done == 2
    files = [file.name for file in (folder / 'out/labels').glob('n*')]
    assert len(files) == 2
    assert max(len(file) for file in files) <= 255
    return 'Both are kept apart; names that would be too long end in a fingerprint.'


@case(RUNS, 'cat.png beside cat.jpg', COMMAND)
def _same(folder):
    segment(folder, 'cat.png', 'cat.jpg')
    assert sorted(file.name for file in (folder / 'out/labels').glob('c*')) == ['cat_jpg.png', 'cat_png.png']
    return 'Two label maps: cat_jpg.png and cat_png.png.'


@case(RUNS, 'Images of one name in two folders, not UTF-8, from a test', 'tools/test.py --out DIR')
def _out(folder):
    writer = LabelMapWriter(folder / 'out')
    for part in ('a', 'b'):
        writer.add(os.fsdecode(os.fsencode(folder / part) + b'/caf\xe9.png'), np.zeros((4, 4), np.int64), 3)
    files = {os.fsencode(file.name) for file in writer.finish().values()}
    assert files == {b'a_caf\xe9.png', b'b_caf\xe9.png'}
    return 'Two label maps: a_caf\\xe9.png and b_caf\\xe9.png.'


@case(RUNS, 'A large image: 2,048 and 2,049 px wide', 'LeopartInferencer.segment')
def _large(folder):
    inferencer = LeopartInferencer(fitted(128), device='cpu')
    blobs = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    labels = [inferencer.segment(cv2.resize(blobs, (side, 1400), interpolation=cv2.INTER_CUBIC)).labels
              for side in (2048, 2049)]
    assert (labels[0] == labels[1][:, :2048]).mean() > 0.97
    return 'As a whole, and in two tiles of the same scale: more than 97 % of the labels agree.'


@case(RUNS, 'An image of one pixel', 'LeopartInferencer.segment')
def _one(folder):
    assert LeopartInferencer(fitted(), device='cpu').segment(NOISE[:1, :1]).labels.shape == (1, 1)
    return 'Segmented.'


@case(RUNS, 'An image with pixels without data', 'LeopartInferencer.segment')
def _holes(folder):
    image = np.float32(NOISE[..., 0]) / 255
    image[:10] = np.nan
    cv2.imwrite(str(folder / 'a.tif'), image)
    found = LeopartInferencer(fitted(), device='cpu').segment(str(folder / 'a.tif'))
    assert np.unique(found.labels[:10]).tolist() == [255]
    assert found.labels[10:].max() < 4
    return 'They have the label 255 (65535 of more than 255 clusters), stay unpainted, and count in no share.'


@case(RUNS, 'An array of 5 bands for a network of 3', 'LeopartInferencer.segment')
def _five(folder):
    return error_of(lambda: LeopartInferencer(fitted(), device='cpu').segment(np.zeros((9, 9, 5))), ImageReadError,
                    'takes 3 bands')


@case(RUNS, 'An output folder that holds other files', COMMAND)
def _taken(folder):
    (folder / 'out/labels').mkdir(parents=True)
    (folder / 'out/labels/mine.txt').write_text('')
    return error_of(lambda: segment(folder, 'a.png'), ValueError, 'will not touch')


def refused(title, content, contains, name='weights.pth'):
    """A file that is no checkpoint."""

    @case(CHECKPOINTS, title, 'load_checkpoint_file(FILE)')
    def run(folder):
        (folder / name).write_bytes(content() if callable(content) else content)
        return error_of(lambda: load_checkpoint_file(folder / name), (RuntimeError, ValueError, OSError), contains)


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as file:
        file.writestr('model/weights.bin', b'x')
    return buffer.getvalue()


class _Bad:

    def __reduce__(self):
        return os.mkdir, ('/nowhere/at/all', )


refused('An empty file', b'', 'empty (0 bytes)')
refused('A web page', b'<!DOCTYPE html><html></html>', 'a web page (HTML)')
refused('A Git LFS pointer', b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n', 'git lfs pull')
refused('A text file', b'hello, these are no weights at all', 'a text file')
refused('A ZIP archive', archive, 'unpack it')
refused('A picture', b'\x89PNG\r\n\x1a\n' + bytes(90), 'a PNG picture')
refused('Cut in half', lambda: saved(dict(a=torch.zeros(999)))[:900], 'cut off')
refused('A pickle that runs a program', lambda: pickle.dumps(_Bad(), protocol=2), 'mkdir')


@case(CHECKPOINTS, 'No such file', 'load_checkpoint_file(FILE)')
def _no_file(folder):
    return error_of(lambda: load_checkpoint_file(folder / 'a.pth'), FileNotFoundError, 'no checkpoint file')


@case(CHECKPOINTS, 'A checkpoint of a training', 'LeopartInferencer(FILE)')
def _training(folder):
    state = {'backbone.x': torch.ones(1), 'teacher.backbone.x': torch.ones(1)}
    (folder / 'iter_4.pth').write_bytes(saved(dict(state_dict=state)))
    return error_of(lambda: LeopartInferencer(folder / 'iter_4.pth', device='cpu'), ValueError, 'Fit it first')


@case(CHECKPOINTS, 'A fitted one without its config', 'LeopartInferencer(FILE)')
def _no_config(folder):
    return error_of(lambda: LeopartInferencer(dict(state_dict=fitted()['state_dict']), device='cpu'), ValueError,
                    'carries no config')


def named(title, text, names=None, contains=None, suffix='yaml', encoding='utf-8'):
    """A naming file for four clusters."""

    @case(NAMES, title, 'ClusterNames.load(FILE, 4)')
    def run(folder):
        file = folder / f'names.{suffix}'
        file.write_bytes(text.encode(encoding))
        if contains is not None:
            return error_of(lambda: ClusterNames.load(file, 4), ValueError, contains)
        assert ClusterNames.load(file, 4).names == names
        return f'The names {", ".join(names)}.'


named('`1: yes`, `2: 12`', 'clusters: {1: yes, 2: 12}', ['cluster 0', 'yes', '12', 'cluster 3'])
named('A list', '[sky, grass]', ['sky', 'grass', 'cluster 2', 'cluster 3'])
named('A byte order mark (Windows)', '\ufeffclusters: {0: sky}', ['sky', 'cluster 1', 'cluster 2', 'cluster 3'])
named('An unquoted colour', 'clusters:\n  0: {name: sky, colour: #ff8800}', contains='write the colour in quotes')
named('A colour that is none', 'clusters: {0: {colour: blue}}', contains="neither '#rrggbb'")
named('A cluster that does not exist', 'clusters: {21: sky}', contains='names cluster 21')
named('Not stored as UTF-8', 'clusters: {0: caf\xe9}', contains='not stored as UTF-8', encoding='latin-1')
named('Damaged YAML', 'clusters: {0: sky', contains='cannot be read')


CONFIG = """
data_root = 'data/x'
iterations = 5
unused = 1
train_cfg = dict(max_iters=iterations)
train_dataloader = dict(dataset=dict(data_root=data_root))
"""


def configured(title, *options, expected=None, contains=None):
    """Options of the command line: what the config holds then, or the answer."""

    @case(OPTIONS, title, '--cfg-options ' + ' '.join(f"'{option}'" if ' ' in option else option
                                                      for option in options))
    def run(folder):
        file = folder / 'c.py'
        file.write_text(CONFIG)
        parser = argparse.ArgumentParser(exit_on_error=False)
        add_common_arguments(parser)

        def load():
            return load_config(file, parser.parse_args(['--cfg-options', *options]).cfg_options)

        if expected is not None:
            assert load().train_dataloader.dataset.data_root == expected
            return f'The folder {expected!r}, wherever the config uses it.'
        if contains.startswith('Error: '):
            return error_of(load, (ValueError, argparse.ArgumentError), contains.removeprefix('Error: '))
        with log_lines() as lines:
            load()
        return said(lines, contains)


configured('A blank in a path', 'data_root=My Pictures', expected='My Pictures')
configured('A path of digits', 'data_root=2024', expected='2024')
configured('A comma in a path', 'data_root=a,b', expected='a,b')
configured('An equals sign in a path', 'data_root=a=b', expected='a=b')
configured('A blank without quotes', 'data_root=My', 'Pictures', contains='Error: is not KEY=VALUE')
configured('An empty path', 'data_root=', contains='Error: must be a non-empty path')
configured('A misspelt variable', 'iteratons=2', contains="Error: Did you mean 'iterations'?")
configured('No steps at all', 'iterations=0', contains='Error: must be a positive whole number')
configured('A variable that nothing uses', 'unused=2', contains='so the option does nothing')
