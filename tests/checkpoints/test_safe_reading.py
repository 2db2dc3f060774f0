"""Checkpoint files: every safe kind loads, everything else is refused by name."""

import argparse
import gzip
import io
import os
import pickle
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint
from safetensors.torch import save_file

from leopart_mm.checkpoints.safe_reading import UNSAFE_ENV, Inert, UnsafeCheckpointError, load_checkpoint_file
from tests.checkpoints.foreign import foreign_class, forget

WEIGHT = torch.arange(6.).reshape(2, 3)


class Exploit:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path, )


class Getattr:
    """Unpickling this would reach a function through getattr."""

    def __reduce__(self):
        return getattr, (Exploit, 'mro')


@pytest.fixture
def lightning(monkeypatch):
    """A fake Lightning package with the classes that its checkpoints name; gone again before loading."""
    return types.SimpleNamespace(
        attribute_dict=foreign_class(monkeypatch, 'pytorch_lightning.utilities.parsing', 'AttributeDict', dict),
        callback=foreign_class(monkeypatch, 'pytorch_lightning.callbacks', 'ModelCheckpoint'))


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_lightning_file_loads_without_lightning(tmp_path, lightning, monkeypatch, legacy):
    path = tmp_path / 'leopart.ckpt'
    hyper_parameters = lightning.attribute_dict(lr=0.1)
    callback = lightning.callback()
    callback.best = 0.5
    torch.save({
        'state_dict': OrderedDict({'model.cls_token': WEIGHT}),
        'hyper_parameters': hyper_parameters,
        'callbacks': {lightning.callback: {'x': 1}, 'instance': callback},
        'args': argparse.Namespace(a=1)
    }, path, _use_new_zipfile_serialization=not legacy)
    forget(monkeypatch, 'pytorch_lightning')
    loaded = load_checkpoint_file(path)
    assert torch.equal(loaded['state_dict']['model.cls_token'], WEIGHT)
    assert loaded['hyper_parameters'] == {'lr': 0.1}
    assert isinstance(loaded['callbacks']['instance'], Inert)
    assert 'pytorch_lightning' not in sys.modules


def test_mmengine_message_hub_loads(tmp_path):
    path = tmp_path / 'iter_1.pth'
    history = HistoryBuffer([1., 2.], [1, 1])
    torch.save({'state_dict': {'w': WEIGHT}, 'message_hub': {'loss': history, 'scalar': np.float64(3)}}, path)
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    assert loaded['message_hub']['loss'].mean() == 1.5
    assert loaded['message_hub']['scalar'] == 3
    assert torch.load(path, weights_only=True)['message_hub']['loss'].current() == 2.


@pytest.mark.parametrize('legacy', [False, True], ids=['zip', 'legacy'])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, legacy):
    path, target = tmp_path / 'evil.pth', tmp_path / 'made_by_exploit'
    torch.save({'state_dict': {'w': WEIGHT}, 'x': Exploit(target)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UnsafeCheckpointError, match=rf'evil.pth.*posix.mkdir.*{UNSAFE_ENV}'):
        load_checkpoint_file(path)
    with pytest.raises(UnsafeCheckpointError):
        _load_checkpoint(str(path), map_location='cpu')
    assert not target.exists()


def test_nested_reconstruction_is_refused(tmp_path):
    """Known ways around a naive allow-list: getattr, functools.partial, torch.storage._load_from_bytes."""
    import functools
    for payload in (Getattr(), functools.partial(os.mkdir, 'x'), torch.storage._load_from_bytes, eval):
        path = tmp_path / 'p.pth'
        torch.save({'x': payload}, path)
        with pytest.raises(UnsafeCheckpointError):
            load_checkpoint_file(path)


def test_opt_in_reads_a_trusted_file(tmp_path, monkeypatch):
    path = tmp_path / 'trusted.pth'
    torch.save({'x': Exploit(tmp_path / 'a')}, path)
    load_checkpoint_file(path, unsafe=True)
    assert (tmp_path / 'a').is_dir()
    (tmp_path / 'a').rmdir()
    monkeypatch.setenv(UNSAFE_ENV, '1')
    load_checkpoint_file(path)
    assert (tmp_path / 'a').is_dir()


def test_safetensors_loads(tmp_path):
    save_file({'w': WEIGHT.half()}, str(tmp_path / 'w.safetensors'))
    assert torch.equal(load_checkpoint_file(tmp_path / 'w.safetensors')['w'], WEIGHT.half())


def test_missing_empty_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.pth'):
        load_checkpoint_file(tmp_path / 'nothing.pth')
    with pytest.raises(FileNotFoundError, match=r'It is a folder: name the file in it\.'):
        load_checkpoint_file(tmp_path)
    (tmp_path / 'empty.pth').touch()
    with pytest.raises(FileNotFoundError, match=r'name the file in it, such as .*empty\.pth\.'):
        load_checkpoint_file(tmp_path)
    with pytest.raises(RuntimeError, match=r'empty\.pth is empty'):
        load_checkpoint_file(tmp_path / 'empty.pth')
    torch.save({'w': torch.rand(1000)}, tmp_path / 'whole.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'whole.pth').read_bytes()[:900])
    with pytest.raises(RuntimeError, match=r'cut\.pth.*damaged'):
        load_checkpoint_file(tmp_path / 'cut.pth')
    (tmp_path / 'list.pth').write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(RuntimeError, match=r'list\.pth'):
        load_checkpoint_file(tmp_path / 'list.pth')


def packed(pack):
    """The content of an archive that `pack` fills."""
    buffer = io.BytesIO()
    pack(buffer)
    return buffer.getvalue()


def a_zip(buffer):
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('weights/dino.pth', b'x')


def a_tar(buffer):
    with tarfile.open(fileobj=buffer, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('dino.pth'), io.BytesIO(b''))


@pytest.mark.parametrize(('content', 'message'), [
    (b'<!DOCTYPE html>\n<html><body>Sign in</body></html>', r'is a web page \(HTML\).*raw file'),
    (b'\xef\xbb\xbf\n  <HTML lang="en">', r'is a web page \(HTML\)'),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', r'is a web page'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n', r'Git LFS pointer.*git lfs pull'),
    (b'/annex/objects/SHA256E-s123--abc.pth\n', 'git-annex pointer.*git annex get'),
    (b'{"message": "Not Found"}', r'is a text file that begins "{"message": "Not Found"}", not weights'),
    ('gr\u00fc\u00df Gott, no checkpoint'.encode(), 'is a text file that begins "gr\u00fc\u00df Gott'),
    (gzip.compress(b'weights'), 'compressed by gzip: unpack it'),
    (packed(a_zip), r'is a ZIP archive \(weights/dino.pth, ...\): unpack it'),
    (packed(a_tar), 'is a tar archive: unpack it'),
    (packed(lambda buffer: np.savez(buffer, kernel=np.zeros(3))), 'is a NumPy archive.*take the PyTorch file'),
    (packed(lambda buffer: np.save(buffer, np.zeros(3))), 'is a NumPy array'),
    (b'\x89HDF\r\n\x1a\n' + bytes(100), 'is an HDF5 file'),
    (b'\x89PNG\r\n\x1a\n' + bytes(100), 'is a PNG picture'),
    (bytes(range(128, 228)), r'\(100 bytes\) could not be read: it is damaged'),
], ids=['html', 'html bom', 'xml', 'lfs', 'annex', 'json', 'text', 'gzip', 'zip', 'tar', 'npz', 'npy', 'hdf5', 'png',
        'noise'])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_what_is_no_checkpoint_is_called_what_it_is(content, message, suffix, tmp_path):
    path = tmp_path / f'dino{suffix}'
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=message) as error:
        load_checkpoint_file(path)
    assert str(path) in str(error.value)
    with pytest.raises(RuntimeError, match=message):
        CheckpointLoader.load_checkpoint(str(path), map_location='cpu')


def test_the_content_decides_and_not_the_name(tmp_path):
    save_file({'w': WEIGHT}, str(tmp_path / 'really_safetensors.pth'))
    torch.save({'w': WEIGHT}, tmp_path / 'really_torch.safetensors')
    for name in ('really_safetensors.pth', 'really_torch.safetensors'):
        assert torch.equal(load_checkpoint_file(tmp_path / name)['w'], WEIGHT)


def test_open_files_and_buffers(tmp_path):
    torch.save({'w': WEIGHT, 'args': argparse.Namespace(a=1)}, tmp_path / 'w.pth')
    with open(tmp_path / 'w.pth', 'rb') as file:
        assert torch.equal(load_checkpoint_file(file)['w'], WEIGHT)
    buffer = io.BytesIO((tmp_path / 'w.pth').read_bytes())
    assert torch.equal(load_checkpoint_file(buffer)['w'], WEIGHT)
    with pytest.raises(RuntimeError, match='in memory could not be read') as error:
        load_checkpoint_file(io.BytesIO(b'\x80nonsense'))
    assert 'BytesIO' not in str(error.value)
