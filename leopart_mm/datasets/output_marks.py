"""Marks in output folders, so that pictures that a run wrote are never taken for images."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from leopart_mm.files import printable, write_text_whole
from leopart_mm.written_files import WrittenFiles

MARKER = '.leopart_mm-outputs.json'
# Of FolderRun; an older version of it left no mark, but 'labels/.model.json'.
FOLDER_OUTPUTS = ('exports', 'labels', 'overlays', 'clusters.html', 'legend.png', 'names.yaml', 'report.json',
                  'sheet.html', 'sheet.png')


def mark_outputs(folder: str | os.PathLike, outputs: Sequence[str]) -> None:
    """Note in a folder which of its entries are outputs, beside those that were noted before.

    Args:
        folder: The run's output folder.
        outputs: Names of the run's files and sub-folders in it.

    Raises:
        OSError: If the mark cannot be written.
    """
    write_text_whole(Path(folder) / MARKER, json.dumps(sorted({*_noted(folder), *outputs})))


def claim_pictures(folder: str | os.PathLike, names: Sequence[str], images: Iterable[str]) -> None:
    """Note the pictures that a run is about to write, which replace neither images nor anything that no run wrote.

    Args:
        folder: Their folder, which need not exist.
        names: The pictures, relative to it.
        images: The images that they are made of.

    Raises:
        OSError: If the note cannot be written.
        ValueError: If a picture would replace or hide an image, or replace a file that no run has noted.
    """
    outputs = sorted({name.split('/')[0] for name in names})
    refuse_images_among(folder, outputs, images)
    WrittenFiles(folder, 'pictures').add(names)
    mark_outputs(folder, outputs)


def refuse_strangers(folder: str | os.PathLike, outputs: Iterable[str]) -> None:
    """Refuse an output folder in which outputs would replace what no run has marked as its own.

    Args:
        folder: The run's output folder, which need not exist.
        outputs: Names of the run's files and sub-folders in it.

    Raises:
        ValueError: If one exists that is not marked.
    """
    known = _marked(os.fspath(folder))
    for name in outputs:
        if name not in known and os.path.lexists(os.path.join(folder, name)):
            raise ValueError(f'{printable(os.path.join(folder, name))} would be replaced, but no run wrote it there: '
                             'choose another folder for the outputs, or remove it.')


def refuse_images_among(folder: str | os.PathLike, outputs: Iterable[str], images: Iterable[str]) -> None:
    """Refuse an output folder whose outputs would replace, or be taken for, the images that they are made of.

    Args:
        folder: The run's output folder, which need not exist.
        outputs: Names of the run's files and sub-folders in it, or paths below it.
        images: Files of the images.

    Raises:
        ValueError: If an image is one of the outputs or lies in one.
    """
    top = os.path.realpath(folder)
    places = {os.path.normpath(os.path.join(top, output)) for output in outputs}
    for image in images:
        directory, name = os.path.split(os.path.abspath(image))
        place = os.path.join(os.path.realpath(directory), name)
        if places.intersection((place, *map(str, Path(place).parents))):
            raise ValueError(f'Outputs in {printable(folder)} would replace or hide the image {printable(image)}: '
                             'choose a folder for them that holds none of the images.')


def without_outputs(files: Iterable[str], top: str | os.PathLike) -> list[str]:
    """Those files below the folder `top` that no run wrote, as the marks in `top` and below it say."""
    top = os.path.normpath(top)
    known: dict[str, tuple[str, ...]] = {}
    return [file for file in files if not _is_output(os.path.normpath(file), top, known)]


def _is_output(place: str, top: str, known: dict[str, tuple[str, ...]]) -> bool:
    while len(place) > len(top):
        folder, name = os.path.split(place)
        if folder not in known:
            known[folder] = _marked(folder)
        if name in known[folder]:
            return True
        if folder == place:
            break
        place = folder
    return False


def _marked(folder: str) -> tuple[str, ...]:
    noted = _noted(folder, None)
    if noted is None:
        return FOLDER_OUTPUTS if os.path.exists(os.path.join(folder, 'labels', '.model.json')) else ()
    return noted


def _noted(folder: str | os.PathLike, otherwise: tuple[str, ...] | None = ()) -> tuple[str, ...] | None:
    try:
        return tuple(map(str, json.loads(Path(folder, MARKER).read_text())))
    except (OSError, ValueError, TypeError):
        return otherwise
