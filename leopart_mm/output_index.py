"""Which outputs of a folder are whole, and by which settings and from which images they were made."""

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.files import printable, remove_temporary, write_text_whole
from leopart_mm.fingerprints import array_fingerprint, file_fingerprint, text_fingerprint

CLAIM, JOURNAL = '.model.json', '.outputs.jsonl'


class OutputIndex:
    """A journal beside the outputs: a line before an output is written, and one when it is whole.

    The line of a whole output names its settings and its source (path, size, times and a hash of the content). An
    output is current if both are those of now; a source whose times changed is compared by its content. What the
    journal does not know is stale, also the outputs of a killed run at the time of its death.

    Args:
        folder: Folder of the outputs.
        settings: All that decides an output besides the image; values that JSON can hold.

    Attributes:
        before: The settings that the folder was tied to before `claim`; None if it was to none.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = json.loads(json.dumps(dict(settings)))  # as they are read back: lists, no tuples
        self.key = text_fingerprint(json.dumps(self.settings, sort_keys=True))
        self.records: dict[str, dict[str, Any]] = {}
        self.before: dict[str, Any] | None = None
        self._cut_off = False

    def claim(self, overwrite: bool = False, clear: Callable[[], None] | None = None,
              refusal: Callable[[dict[str, Any]], str] | None = None) -> bool:
        """Tie the folder to these settings; returns whether it was tied to others.

        Args:
            overwrite: Take over a folder that is tied to other settings.
            clear: Removes the outputs of the other settings. It is called before the folder is tied to these, so that
                a kill at any time leaves outputs of one kind only.
            refusal: What to say where the folder is tied to the settings that it is given; None: words about label
                maps.

        Raises:
            ValueError: If it is tied to other settings and `overwrite` is off, or holds files of something else.
        """
        remove_temporary(self.folder, recursive=True)
        self.before = claim = self.claimed()
        if claim is None and self.folder.is_dir() and any(self.folder.iterdir()):
            raise ValueError(f'{printable(self.folder)} holds files that this tool did not write, and will not touch. '
                             'Take another output folder.')
        # An older version noted fewer settings.
        other = claim is not None and any(not _same(self.settings.get(key), value) for key, value in claim.items())
        if other and not overwrite:
            text = (f'{printable(self.folder.parent)} holds label maps of another model, or made with other tiles.'
                    if refusal is None else refusal(claim))
            raise ValueError(f'{text} Take another output folder, or overwrite these (--overwrite).')
        if other:
            if clear is not None:
                clear()
            (self.folder / JOURNAL).unlink(missing_ok=True)
        self.load()
        if self._cut_off:
            self._append('\n')
        write_text_whole(self.folder / CLAIM, json.dumps(self.settings))
        return other

    def claimed(self) -> dict[str, Any] | None:
        """The settings that the folder is tied to; None if it is to none."""
        try:
            return json.loads((self.folder / CLAIM).read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            return {}  # of a version that did not write whole files: nothing is known of the outputs

    def is_claimed(self) -> bool:
        """Whether the folder is tied to these very settings (now: another run may have taken it over)."""
        return _same(self.claimed(), self.settings)

    def load(self) -> None:
        """Read the journal: which outputs there are. `claim` does it too."""
        file = self.folder / JOURNAL
        if not file.exists():
            return
        content = file.read_bytes()
        for line in content.splitlines():
            try:
                record = json.loads(line)
                self.records[record['name']] = record
            except (ValueError, KeyError, TypeError):
                continue  # cut off by a kill
        self._cut_off = bool(content) and not content.endswith(b'\n')

    def _append(self, text: str) -> None:
        file = self.folder / JOURNAL
        try:
            with open(file, 'a', encoding='utf-8') as stream:
                stream.write(text)
        except OSError as error:
            raise OSError(error.errno, f'{printable(file)} cannot be written: {error.strerror}') from error

    def _note(self, record: dict[str, Any]) -> None:
        self._append(json.dumps(record) + '\n')
        self.records[record['name']] = record

    def begin(self, name: str) -> None:
        """Note that the output of `name` is about to change, or is gone."""
        if self.records.get(name, {}).get('source') is not None:
            self._note(dict(name=name, source=None))

    def done(self, name: str, source: dict[str, Any], size: int, facts: Mapping[str, Any] | None = None) -> None:
        """Note that the output of `name` is whole, a file of `size` bytes made from `source`; `facts` are kept too."""
        record = dict(name=name, settings=self.key, source=source, size=size)
        self._note(record | (dict(facts=dict(facts)) if facts else {}))

    @staticmethod
    def source(image: str | np.ndarray) -> dict[str, Any]:
        """What identifies an image: path, size, times and hash of a file; the hash of an array."""
        if isinstance(image, np.ndarray):
            return dict(hash=array_fingerprint(image))
        try:
            return dict(path=os.path.abspath(image), **_stat(image), hash=file_fingerprint(image))
        except OSError:  # who reads the image says why
            return dict(path=os.path.abspath(image))

    def is_current(self, name: str, image: str | np.ndarray, file: Path) -> bool:
        """Whether the output of `name`, that `file`, is whole, by these settings, and of this very image."""
        record = self.records.get(name)
        if record is None or record.get('settings') != self.key or not record.get('source'):
            return False
        size = file.stat().st_size if file.is_file() else None
        if size is None or record.get('size', size) != size:  # a power cut, or somebody changed it
            return False
        noted = record['source']
        if isinstance(image, str):
            try:
                seen = _stat(image)
            except OSError:
                return False
            if all(noted.get(key) == value for key, value in seen.items()):
                return True  # the time of the last change cannot be set by the user
            if noted.get('size') != seen['size']:
                return False
        source = self.source(image)
        if noted.get('hash') != source.get('hash'):
            return False
        self.done(name, source, size, record.get('facts'))
        return True

    def names_beside(self, names: Collection[str]) -> list[str]:
        """Names of whole outputs that are none of `names`."""
        return [name for name, record in self.records.items() if record.get('source') and name not in names]

    def names_other_than(self, names: Mapping[str, str]) -> list[str]:
        """Names of outputs whose source is a path of `names`, but under another name there."""
        expected = {os.path.abspath(path): name for path, name in names.items()}
        return [name for name, record in self.records.items() if record.get('source')
                and expected.get(record['source'].get('path'), name) != name]


def _same(value: Any, other: Any) -> bool:
    return json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)  # NaN equals itself here


def _stat(path: str) -> dict[str, int]:
    stat = os.stat(path)
    return dict(size=stat.st_size, mtime=stat.st_mtime_ns, ctime=stat.st_ctime_ns)
