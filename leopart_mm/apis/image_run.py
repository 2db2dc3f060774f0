"""Runs over many images: unreadable ones are named, outputs are kept in files, an interrupted run resumes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from leopart_mm.apis.image_inputs import ImageList
from leopart_mm.datasets.image_reading import ImageReadError
from leopart_mm.files import printable, shorten
from leopart_mm.output_index import OutputIndex

Result = TypeVar('Result')
Image = str | np.ndarray


@dataclass
class Report:
    """What happened to the images of a run.

    Args:
        num_done: Number of images processed so far.
        num_skipped: Number of files in folders that are no images.
        corrupt: File and reason of each image that could not be read.
        num_present: Number of images whose outputs existed already.
        num_replaced: Number of images of `num_done` whose outputs were stale.
        others: Names of outputs in the folder of images that are not among those of the run.
    """

    num_done: int = 0
    num_skipped: int = 0
    corrupt: list[tuple[str, str]] = field(default_factory=list)
    num_present: int = 0
    num_replaced: int = 0
    others: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The report in words."""
        parts = [f'{self.num_done} images segmented']
        if self.num_replaced:
            parts[0] += f' ({self.num_replaced} of them again: another model or a changed image)'
        if self.num_skipped:
            parts.append(f'{self.num_skipped} other files skipped')
        return ', '.join(parts + self.troubles('label maps')) + '.'

    def troubles(self, outputs: str) -> list[str]:
        """Which outputs (such as 'label maps') are of other images, and which images could not be read, in words."""
        parts = []
        if self.others:
            parts.append(f'{len(self.others)} {outputs} of earlier runs are of none of these images '
                         f'({shorten(map(printable, self.others))})')
        if self.corrupt:
            parts.append(f'{len(self.corrupt)} images could not be read: '
                         + '; '.join(f'{printable(path)} ({reason})' for path, reason in self.corrupt))
        return parts


def process_images(images: ImageList, process: Callable[[Image, str], Result],
                   report: Report) -> Iterator[Result | None]:
    """Yield ``process(image, name)`` of each image, None for one that cannot be read; `report` counts and names.

    A result is not held while the next one is made.
    """
    report.num_skipped = images.num_skipped
    for image, name in zip(images.images, images.names, strict=True):
        try:
            result = process(image, name)
        except ImageReadError as error:
            report.corrupt.append((error.path, error.reason))
            result = None
        yield result
        result = None


class ImageRun:
    """Makes one output file per image in a folder, and resumes where an interrupted run stopped.

    An output is valid if it was made with these settings from this very image (see `OutputIndex`); every other one is
    made again. So a folder is never a mixture of two models, also not after a run that overwrites was interrupted.

    Args:
        folder: Folder of the outputs; made if it does not exist.
        settings: All that decides an output besides the image: model, sizes, ...; values that JSON can hold.
        suffix: Suffix of the output files.
        overwrite: Take over a folder with outputs of other settings, which are removed, and make all outputs again.
        clear: Removes what else there is of other settings when the folder is taken over.
        refusal: As in `OutputIndex.claim`.

    Attributes:
        took_over: Whether the folder was made with other settings.
        report: A `Report` of the latest run.
        forgotten: Names whose outputs the latest run removed, since these images have other names now.

    Raises:
        ValueError: If the folder holds outputs of other settings and `overwrite` is off, or files of something else.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], suffix: str = '.png',
                 overwrite: bool = False, clear: Callable[[], None] | None = None,
                 refusal: Callable[[dict[str, Any]], str] | None = None) -> None:
        self.folder = folder
        self.suffix = suffix
        self.overwrite = overwrite
        self.index = OutputIndex(folder, settings)
        self._clear_more = clear
        self._cleared: set[Path] = set()
        self.took_over = self.index.claim(overwrite, self._clear, refusal)
        self.report = Report()
        self.forgotten: list[str] = []

    def _clear(self) -> None:
        if self._clear_more is not None:
            self._clear_more()
        for output in list(self.folder.rglob(f'*{self.suffix}')):
            output.unlink()
            self._cleared.add(output)

    def file(self, name: str) -> Path:
        """The output of an image; its name may hold dots."""
        return self.folder / f'{name}{self.suffix}'

    def run(self, images: ImageList, make: Callable[[Image, str], Result], write: Callable[[Path, Result], None],
            read: Callable[[Image, str, Path], Result]) -> Iterator[Result | None]:
        """Yield a result per image, made now or read back; None where an image cannot be read.

        Args:
            images: The images with their names.
            make: Image and name to a result.
            write: Writes a result to a file, as a whole.
            read: Image, name and file to the result of an earlier run.

        Raises:
            OSError: If an output cannot be written.
        """
        self.start(images)

        def process(image: Image, name: str) -> Result:
            if self.has(name, image):
                result = read(image, name, self.file(name))
                self.report.num_present += 1
                return result
            source = self.index.source(image)
            result = make(image, name)
            self.keep(name, source, lambda file: write(file, result))
            return result

        return process_images(images, process, self.report)

    def start(self, images: ImageList, report: Report | None = None) -> None:
        """Begin a run over these images: outputs under names that they have no more are removed."""
        self.report = report or Report()
        self._forget_renamed(images)
        self.report.others = self.index.names_beside(set(images.names))

    def has(self, name: str, image: Image) -> bool:
        """Whether the output of an image need not be made."""
        return not self.overwrite and self.index.is_current(name, image, self.file(name))

    def keep(self, name: str, source: dict[str, Any], write: Callable[[Path], None],
             facts: Mapping[str, Any] | None = None) -> None:
        """Write the output of an image.

        Args:
            name: Name of the image.
            source: What `OutputIndex.source` said of the image before it was read.
            write: Writes the output to a file, as a whole.
            facts: What is noted beside it.

        Raises:
            OSError: If it cannot be written.
        """
        file = self.file(name)
        stale = file.is_file() or file in self._cleared
        self.index.begin(name)
        write(file)
        self.index.done(name, source, file.stat().st_size, facts)
        self.report.num_done += 1
        self.report.num_replaced += stale

    def _forget_renamed(self, images: ImageList) -> None:
        """Remove outputs of these images under names that they have no more (a second image took the name)."""
        names = {path: name for path, name in zip(images.images, images.names, strict=True) if isinstance(path, str)}
        taken = set(images.names)
        self.forgotten = [name for name in self.index.names_other_than(names) if name not in taken]
        for name in self.forgotten:
            self.file(name).unlink(missing_ok=True)
            self.index.begin(name)
