"""Mask proposals of images: what a source of them must be able to do, whatever kind of masks it makes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leopart_mm.masks.sources import MaskInputs

IGNORE = 255


@dataclass(frozen=True)
class ProposalImage:
    """One image as the network saw it, for the steps of a source that need pixels.

    Args:
        name: Its name below the data root, with slashes, without suffix.
        pixels: (H, W, 3) uint8 RGB, after the geometry of the pipeline and before normalising, without padding.
        original_size: (height, width) of the file.
        mean: RGB mean that the network's input was normalised with, on the scale 0..1 as `truncate_bytes` takes it;
            None: it was not.
        std: RGB standard deviation likewise.
    """

    name: str
    pixels: np.ndarray
    original_size: tuple[int, int]
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of `pixels`."""
        return self.pixels.shape[:2]


class Proposals(ABC):
    """The masks of one image. They may overlap, have scores, or be none at all, as the kind says.

    Attributes:
        size: (H, W) of the masks.
    """

    size: tuple[int, int]

    @abstractmethod
    def masks(self) -> Iterator[np.ndarray]:
        """The masks that hold a pixel, (H, W) bool, the most certain one first where there are scores."""

    def __len__(self) -> int:
        """Number of masks that hold a pixel."""
        return sum(1 for _ in self.masks())

    def largest_share(self) -> float:
        """Share of the image that its largest mask covers; 0 without a mask."""
        return max((float(mask.mean()) for mask in self.masks()), default=0.)

    def label_map(self, ignore: int = IGNORE) -> np.ndarray:
        """(H, W) int64: which mask a pixel belongs to, counted from 0; of several the first, `ignore` in none."""
        labels = np.full(self.size, ignore, np.int64)
        for number, mask in enumerate(self.masks()):
            labels[mask & (labels == ignore)] = number if number < ignore else number + 1
        return labels


class ProposalFormat(ABC):
    """How proposals of one kind lie in files: one per image, and what joins them.

    A file is written whole or not at all, and the same proposals give the same bytes.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    @abstractmethod
    def write(self, file: Path, proposals: Proposals) -> None:
        """Write the proposals of an image.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If the format cannot hold them.
        """

    @abstractmethod
    def read(self, file: Path) -> Proposals:
        """Read what `write` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged or holds something else; the message names it.
        """

    def finish(self, folder: Path, files: Mapping[str, str], out: Path) -> None:  # noqa: B027 - most need nothing
        """Write what joins the files of a folder, such as one JSON of all; called when they are complete.

        Args:
            folder: Where they lie, as ``<name><suffix>``.
            files: Name -> file of the image below the data root, of the images that have proposals, in the order of
                the data set.
            out: Folder of what is written.
        """


class ProposalSource(ABC):
    """Gives each image any number of masks, without looking at a label.

    The work has two steps: `propose` runs where the network does, on batches; `refine` runs on single images of plain
    numbers, in worker processes. Neither may look at what else is in the batch. What it draws, if anything, must follow
    from the image's name: the same image gets the same masks in every batch, order, worker and process.
    """

    format: ProposalFormat
    when_filled: ClassVar[str] = ''  # what may help where most masks fill their image, for the user

    @property
    def requests(self) -> dict[str, Any]:
        """What of `MaskInputs` the source needs, as arguments of `Requests`: dict(maps=True), dict(qkv=11), ..."""
        return {}

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that decides the masks beside the network and the images: values that JSON can hold.

        They are kept beside the files, and a file that was made with other settings is refused. What only decides the
        speed (numbers of workers, ...) must not be among them.
        """

    @abstractmethod
    def propose(self, inputs: MaskInputs) -> list[Any]:
        """A draft per image of a batch: anything that can be pickled, on the CPU. It may be the `Proposals` already."""

    def refine(self, draft: Any, image: ProposalImage) -> Proposals:
        """The proposals of one image, from its draft and its pixels (a CRF, other sizes, ...)."""
        return draft

    def __call__(self, inputs: MaskInputs, images: Sequence[ProposalImage]) -> list[Proposals]:
        """Both steps, in this process."""
        return [self.refine(draft, image) for draft, image in zip(self.propose(inputs), images, strict=True)]

    def release(self) -> None:  # noqa: B027 - most sources have nothing to free
        """Free what proposals are made with (a network, worker processes); called at the end."""
