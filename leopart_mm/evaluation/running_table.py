"""A sum of tables over images and processes that counts every image once."""

from dataclasses import dataclass
from typing import Any

from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor


@dataclass
class RunningTable:
    """Adds up the tables of images as they come, in the memory of two tables.

    MMEngine's DefaultSampler gives every process the same number of images: with ``round_up=True`` (its default) it
    repeats the first images at the end. Process `rank` of `world` sees the images rank, rank + world, rank + 2 world,
    ...; the last of them is a repeat where that number is not below the size of the data set. Only the end of a run
    tells, hence the table of the last image waits beside the sum. MMEngine's own metrics keep a result per image and
    cut the list (`collect_results(size)`): the same correction at the cost of memory that grows with the data set.

    Args:
        total: Sum over all images but the last; None before the second image.
        last: The table of the last image.
        images: Number of images added.
    """

    total: Any = None
    last: Any = None
    images: int = 0

    def add(self, table: Any) -> None:
        """Add the table of the next image; tables support ``+``, have one shape, and may be tensors on one device."""
        if self.last is not None:
            self.total = self.last if self.total is None else self.total + self.last
        self.last = table
        self.images += 1

    def sum(self, size: int, rank: int = 0, world: int = 1) -> tuple[Any, int]:
        """The sum over this process's images without a repeat, and the number of these images.

        Args:
            size: Number of images in the data set.
            rank: This process.
            world: Number of processes.

        Returns:
            None instead of a sum where this process has no image of its own.
        """
        if world > 1 and self.images == -(-size // world) and rank + world * (self.images - 1) >= size:
            return self.total, self.images - 1
        if self.last is None or self.total is None:
            return self.last, self.images
        return self.total + self.last, self.images

    def gather(self, size: int) -> tuple[Any, int]:
        """As `sum`, over all processes, tensors as arrays on the host; a collective call.

        Raises:
            ValueError: If there were more images than the data set has, or none.
        """
        total, number = self.sum(size, *get_dist_info())
        parts = all_gather_object((total.cpu().numpy() if isinstance(total, Tensor) else total, number))
        images = sum(number for _, number in parts)
        if images > size:
            raise ValueError(f'The metric saw {images} images of a data set of {size}: the sampler repeats images. '
                             "Use sampler=dict(type='DefaultSampler', shuffle=False) in test_dataloader.")
        tables = [table for table, _ in parts if table is not None]
        if not tables:
            raise ValueError('The metric saw no image: the test data set is empty.')
        return sum(tables[1:], tables[0]), images
