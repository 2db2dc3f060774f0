"""Reading the proposals that a run wrote, with the checks that they are those of now."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.files import printable, shorten
from leopart_mm.fingerprints import array_fingerprint, file_fingerprint
from leopart_mm.masks.proposal_formats import LabelMapFiles
from leopart_mm.masks.proposals import ProposalFormat, Proposals
from leopart_mm.output_index import OutputIndex

FOLDER, REPORT = 'proposals', 'report.json'
AGAIN = 'Make the proposals again: tools/generate_masks.py CONFIG --out'


class ProposalCache:
    """The folder that tools/generate_masks.py filled.

    Args:
        folder: Its ``--out``.
        format: How the files lie; None: maps of mask numbers.

    Attributes:
        settings: What decided the proposals: source, network, preparation of images.

    Raises:
        FileNotFoundError: If there are no proposals.
        ValueError: If they are of another format.
    """

    def __init__(self, folder: str | os.PathLike, format: ProposalFormat | None = None) -> None:
        self.folder = Path(folder).expanduser()
        self.format = format or LabelMapFiles()
        files = self.folder / FOLDER
        settings = OutputIndex(files, {}).claimed()
        if not settings:
            raise FileNotFoundError(f'{printable(self.folder)} holds no proposals. Make them first: '
                                    f'tools/generate_masks.py CONFIG --out {printable(self.folder)}.')
        self.settings: dict[str, Any] = settings
        if settings.get('format') != self.format.name:
            raise ValueError(f'{printable(self.folder)} holds proposals of the kind {settings.get("format")!r}, not '
                             f'{self.format.name!r}.')
        self._index = OutputIndex(files, settings)
        self._index.load()

    @property
    def names(self) -> list[str]:
        """Names of the images that have proposals."""
        return self._index.names_beside(())

    def require(self, settings: Mapping[str, Any]) -> None:
        """Check that the proposals were made with these settings; what they do not mention may be anything.

        Args:
            settings: Nested, as `settings`: dict(source=dict(threshold=0.4)), ...

        Raises:
            ValueError: If they differ; the message says in what.
        """
        differing = changed_settings(self.settings, settings, partly=True)
        if differing:
            raise ValueError(f'The proposals in {printable(self.folder)} are not those of this config: '
                             f'{shorten(differing)}. {self._again()} --overwrite, or give the folder of the right '
                             'ones.')

    def read(self, path: str | os.PathLike, pixels: np.ndarray | None = None, check_file: bool = False,
             size: tuple[int, int] | None = None) -> Proposals:
        """The proposals of an image.

        Args:
            path: The image's file, wherever the data set lies now.
            pixels: (H, W, C): the image as the network sees it, before normalising; it must be that which the
                proposals were made of. None: not compared.
            check_file: Compare the content of the image's file.
            size: (H, W) that they must have; None: that of `pixels`, if given.

        Raises:
            FileNotFoundError: If the image has none, or its file is gone.
            ValueError: If they were made of another image, size or crop, or the file is not whole.
        """
        name, record = self._find(os.fspath(path))
        file = self.folder / FOLDER / f'{name}{self.format.suffix}'
        if not file.is_file():
            raise FileNotFoundError(f'The proposals {printable(file)} of {printable(path)} are gone. {self._again()}.')
        if file.stat().st_size != record['size'] or record['settings'] != self._index.key:
            raise ValueError(f'{printable(file)} is not as it was written: half-written or changed. {self._again()}.')
        if check_file and record['source'].get('hash') != file_fingerprint(path):
            raise ValueError(f'{printable(path)} has changed since its proposals {printable(file)} were made. '
                             f'{self._again()}.')
        proposals = self.format.read(file)
        size = size if pixels is None else pixels.shape[:2]
        if size is not None and tuple(size) != tuple(proposals.size):
            raise ValueError(f'The proposals {printable(file)} are {" x ".join(map(str, proposals.size))} pixels, but '
                             f'the image is {" x ".join(map(str, size))}: the sizes and crops before LoadProposals '
                             f'must be those of proposal_dataloader. {self._again()}.')
        if pixels is not None:
            self._compare_pixels(path, file, record, pixels)
        return proposals

    def _compare_pixels(self, path: str | os.PathLike, file: Path, record: Mapping[str, Any],
                        pixels: np.ndarray) -> None:
        if record.get('facts', {}).get('pixels') == array_fingerprint(pixels):
            return
        if record['source'].get('hash') != file_fingerprint(path):
            raise ValueError(f'{printable(path)} has changed since its proposals {printable(file)} were made. '
                             f'{self._again()}.')
        raise ValueError(f'{printable(path)} is the image of its proposals {printable(file)}, but it was prepared '
                         'otherwise: by another size, crop, resize rule or flip before LoadProposals, or another '
                         f"release of the image decoder (then check='file' accepts them). {self._again()}.")

    def _find(self, path: str) -> tuple[str, dict[str, Any]]:
        """Name and record of an image, by the longest end of its path that is a name."""
        for name in _names_of(path):
            record = self._index.records.get(name)
            if record and record.get('source') and (
                    os.path.basename(record['source'].get('path', path)) == os.path.basename(path)):
                return name, record
        raise FileNotFoundError(f'{printable(path)} has no proposals in {printable(self.folder)}, which holds those of '
                                f'{len(self.names)} images ({shorten(map(printable, self.names), 3)}). '
                                f'{self._again()}, of all images that are trained on.')

    def _again(self) -> str:
        return f'{AGAIN} {printable(self.folder)}'


def _names_of(path: str) -> Iterator[str]:
    """What an image may be called: ends of its path, the longest first, without and with its suffix."""
    parts = Path(os.path.abspath(path)).parts[1:]
    for start in range(len(parts)):
        end = Path(*parts[start:])
        stem = end.with_suffix('').as_posix()
        yield from (end.as_posix(), f'{stem}_{end.suffix[1:]}', stem)


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any], partly: bool = False) -> list[str]:
    """What differs between two nested settings, in words.

    Args:
        before: Those that something was made with.
        now: Those of now.
        partly: Leave out what `now` does not mention.

    >>> changed_settings(dict(source=dict(threshold=0.4, block=1)), dict(source=dict(threshold=0.5)), partly=True)
    ['source.threshold was 0.4 and is 0.5']
    """
    first, second = dict(_flat(before)), dict(_flat(now))
    keys = list(second) if partly else sorted(first.keys() | second.keys())
    return [f'{key} was {first.get(key, "not set")} and is {second.get(key, "not set")}' for key in keys
            if json.dumps(first.get(key)) != json.dumps(second.get(key))]


def _flat(settings: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', list(value) if isinstance(value, tuple) else value
