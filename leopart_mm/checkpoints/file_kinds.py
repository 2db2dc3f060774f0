"""What a file is that was given as weights: safetensors under any name, or something that is no checkpoint."""

from pathlib import Path

HEAD_BYTES = 512
LFS_POINTER = b'version https://git-lfs.github.com/spec/'
# Beginnings of files that people take for weights, and what to do about each.
BEGINNINGS = (
    (LFS_POINTER, 'a Git LFS pointer, not the weights themselves: run `git lfs pull` in its repository, or download '
     'the file itself'),
    (b'/annex/objects/', 'a git-annex pointer, not the weights themselves: run `git annex get` on it'),
    (b'\x1f\x8b', 'compressed by gzip: unpack it'),
    (b'BZh', 'compressed by bzip2: unpack it'),
    (b'\xfd7zXZ\x00', 'compressed by xz: unpack it'),
    (b'(\xb5/\xfd', 'compressed by zstd: unpack it'),
    (b'7z\xbc\xaf\x27\x1c', 'a 7z archive: unpack it'),
    (b'Rar!', 'a RAR archive: unpack it'),
    (b'%PDF', 'a PDF document, not weights'),
    (b'\x89PNG', 'a PNG picture, not weights'),
    (b'\xff\xd8\xff', 'a JPEG picture, not weights'),
    (b'\x89HDF', 'an HDF5 file (Keras or TensorFlow), which holds no PyTorch weights: take the PyTorch file'),
    (b'GGUF', 'a GGUF file, which holds no PyTorch weights: take the PyTorch file'),
    (b'\x93NUMPY', 'a NumPy array, not a PyTorch checkpoint'),
)
HTML = (b'<!doctype html', b'<html', b'<head', b'<?xml', b'<!--')


def is_safetensors(path: Path) -> bool:
    """Whether the content is that of a safetensors file, whatever its name."""
    head = read_head(path)
    size = int.from_bytes(head[:8], 'little')
    return head[8:9] == b'{' and 1 < size <= path.stat().st_size - 8


def what_it_is(path: Path) -> str | None:
    """What a file is that no checkpoint is, with the remedy, as the end of a sentence; None if nothing is known.

    PyTorch's own formats (a ZIP archive with `data.pkl`, a pickle) are not looked at.
    """
    head = read_head(path)
    for beginning, meaning in BEGINNINGS:
        if head.startswith(beginning):
            return meaning
    text = head.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    if text.startswith(HTML):
        return ('a web page (HTML), not the weights: the download gave a log-in, consent or error page. Open the link '
                'in a browser, or take the link to the raw file')
    if head.startswith(b'PK'):
        return _archive(path)
    if head[257:262] == b'ustar':
        return 'a tar archive: unpack it and name the checkpoint in it'
    if _is_text(head):
        first = head.decode('utf-8', 'replace').strip().splitlines()
        return f'a text file that begins "{first[0][:60] if first else ""}", not weights'
    return None


def read_head(path: Path) -> bytes:
    """The first bytes of a file."""
    with open(path, 'rb') as file:
        return file.read(HEAD_BYTES)


def _archive(path: Path) -> str | None:
    import zipfile
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None  # cut off: the general message says so
    if any(name.endswith('data.pkl') for name in names):
        return None
    if any(name.endswith('.npy') for name in names):
        return 'a NumPy archive (such as JAX weights), which holds no PyTorch weights: take the PyTorch file'
    return f'a ZIP archive ({", ".join(names[:3])}, ...): unpack it and name the checkpoint in it'


def _is_text(head: bytes) -> bool:
    try:
        text = head[:-3].decode('utf-8')  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in '\r\n\t' for character in text)
