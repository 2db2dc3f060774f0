"""What a run wrote into a folder, so that the next one leaves nothing stale between its own files."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from leopart_mm.files import printable, write_text_whole


class WrittenFiles:
    """Keeps a list of the files that a run writes into a folder that may hold other things too.

    Args:
        folder: The folder.
        kind: What is written, such as 'labels': runs of several kinds may share a folder.
    """

    def __init__(self, folder: str | os.PathLike, kind: str) -> None:
        self.folder = Path(folder)
        self.record = self.folder / f'.leopart_mm-{kind}.json'

    def refuse_foreign(self, names: Iterable[str]) -> None:
        """Make sure that a run replaces nothing but what an earlier one wrote: images and masks of the user stay.

        Args:
            names: Files that the run is going to write, relative to the folder.

        Raises:
            ValueError: If one exists that no run has noted.
        """
        known = set(self._read())
        for name in names:
            if name not in known and (self.folder / name).exists():
                raise ValueError(f'{printable(self.folder / name)} would be replaced, but no run wrote it there: '
                                 'choose another folder for the outputs, or remove it.')

    def replace(self, names: Iterable[str]) -> list[str]:
        """Remove what the run before wrote, and note what this one is about to write.

        A kill at any time leaves files of one run only, of which the next run knows.

        Args:
            names: Files of this run, relative to the folder.

        Returns:
            The files that were removed and that this run does not write.

        Raises:
            OSError: If a file cannot be removed or written.
            ValueError: See `refuse_foreign`.
        """
        before, names = self._read(), sorted(set(names))
        self.refuse_foreign(names)
        gone = []
        for name in before:
            path = self.folder / name
            if path.is_file():
                try:
                    path.unlink()
                except OSError as error:
                    raise OSError(error.errno, f'{printable(path)} cannot be removed: {error.strerror}') from error
                gone.append(name)
        write_text_whole(self.record, json.dumps(names, indent=0) + '\n')
        return sorted(set(gone) - set(names))

    def add(self, names: Iterable[str]) -> None:
        """Note files that this run is about to write; those of runs before stay, and may be written again.

        Args:
            names: Files of this run, relative to the folder.

        Raises:
            OSError: If the note cannot be written.
            ValueError: See `refuse_foreign`.
        """
        names = sorted(set(names))
        self.refuse_foreign(names)
        write_text_whole(self.record, json.dumps(sorted({*self._read(), *names}), indent=0) + '\n')

    def _read(self) -> list[str]:
        try:
            names = json.loads(self.record.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return []
        # Never a file outside of the folder, whatever the record says.
        return [name for name in names if not os.path.isabs(name) and '..' not in Path(name).parts]
