"""Which files a data set takes: lists as people write them, folders, and what is missing."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from mmengine.logging import print_log

from leopart_mm.datasets.output_marks import without_outputs
from leopart_mm.files import printable, shorten

MOST_FILES = 100_000


def read_lines(path: str | os.PathLike) -> list[str]:
    """The lines of a list that are not empty, without blanks around them.

    A byte order mark is dropped, UTF-16 (Windows Notepad's "Unicode") is decoded, and bytes of file names that are not
    UTF-8 stay as they are on the disk.
    """
    content = Path(path).read_bytes()
    if content.startswith((b'\xff\xfe', b'\xfe\xff')):
        text = content.decode('utf-16')
    else:
        text = content.decode('utf-8-sig', 'surrogateescape')
    # not splitlines(): names may hold its rarer line ends, such as U+2028
    return [line.strip() for line in text.replace('\r', '\n').split('\n') if line.strip()]


def readings(line: str) -> list[tuple[str, str | None]]:
    r"""What a line of a list may mean, as (image, mask or None), the most literal reading first.

    A second column is the mask (DeepLab's lists) or a class number (ImageNet's, VOC's per class); backslashes separate
    folders as slashes do. Which reading holds is decided by the files that exist.

    >>> readings('my cat.jpg')
    [('my cat.jpg', None), ('my', 'cat.jpg')]
    >>> readings('sub\\a.jpg 17')
    [('sub\\a.jpg 17', None), ('sub\\a.jpg', None), ('sub/a.jpg 17', None), ('sub/a.jpg', None)]
    """
    found = [(line, None)]
    columns = line.rsplit(maxsplit=1)
    if len(columns) == 2:
        number = columns[1].lstrip('-').isdigit()
        found.append((columns[0], None if number else columns[1]))
    return found + (readings(line.replace('\\', '/')) if '\\' in line else [])


def find_files(folder: str | os.PathLike, suffixes: Sequence[str] = ('', ), recursive: bool = True) -> list[str]:
    """Files with one of the (lower-case) suffixes, links followed once, sorted.

    Hidden files and folders are left out, and what runs wrote there, see `without_outputs`.
    """
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link back to a folder above would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if recursive and not name.startswith('.'))
        found += [os.path.join(place, name) for name in files
                  if name.lower().endswith(tuple(suffixes)) and not name.startswith('.')]
    return without_outputs(sorted(found), folder)


def missing_files(paths: Iterable[str | os.PathLike]) -> list[str]:
    """Those of the paths that are no files."""
    return [os.fspath(path) for path in paths if not os.path.isfile(path)]


def plain_voc(missing: str | os.PathLike) -> str:
    """What to write for Pascal VOC as it is downloaded, if `missing` is a part of its extension; else nothing.

    >>> plain_voc('VOC2012/JPEGImages')
    ''
    """
    if Path(missing).stem not in ('trainaug', 'SegmentationClassAug'):
        return ''
    return (' Plain VOC 2012 lacks this extension (SBD); its own parts are named by --cfg-options train_split=train '
            'train_masks=SegmentationClass (training without labels: train_split=train).')


def check_complete(paths: Sequence[str | os.PathLike], what: str, folder: str | os.PathLike, cure: str) -> None:
    """Raise FileNotFoundError if a listed file does not exist.

    Args:
        paths: All files of the list.
        what: What messages call the files, e.g. 'masks'.
        folder: Folder that they are relative to in the message.
        cure: Sentence that says what to do.
    """
    missing = missing_files(paths)
    if missing:
        names = shorten(printable(os.path.relpath(path, folder)) for path in missing)
        raise FileNotFoundError(f'{len(missing)} of {len(paths)} listed {what} are missing in {printable(folder)}: '
                                f'{names}. {cure}')


def others_in(folder: str | os.PathLike, used: Iterable[str]) -> list[str]:
    """Files in a folder and below it that are not used; of very many, the first 100,000 files are looked at."""
    taken = {os.path.abspath(path) for path in used}
    found = islice((os.path.join(place, name) for place, _, files in os.walk(folder) for name in files
                    if not name.startswith('.')), MOST_FILES)
    return [path for path in found if os.path.abspath(path) not in taken]


def say_what_counts(used: int, unused: Iterable[str], folder: str | os.PathLike, hints: dict[str, str],
                    chosen: str = '') -> None:
    """Log how many images of a folder are used, and how many other files are not, by their endings.

    Args:
        used: Number of images.
        unused: The other files of the folder.
        folder: Name of the folder.
        hints: Ending -> what would read such files.
        chosen: What chose the images, if not all are taken.
    """
    endings = Counter(os.path.splitext(path)[1].lower() or 'no ending' for path in unused)
    message = ' '.join(filter(None, (f'{used} images in {printable(folder)}', chosen, 'are used.')))
    if endings:
        message += f' {sum(endings.values())} other files are not: ' + ', '.join(
            f'{number} x {ending}' for ending, number in endings.most_common(8)) + '.'
    cures = {ending: hints[ending] for ending in endings if ending in hints}
    for ending, cure in cures.items():
        message += f' To read {ending}: {cure}.'
    print_log(message, logger='current', level=logging.WARNING if cures else logging.INFO)
