"""What every format needs: the folder, the categories, and the segments of one image at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from leopart_mm.datasets.image_reading import image_size
from leopart_mm.exports.categories import Categories
from leopart_mm.exports.segmented_folder import SegmentedFolder, SegmentedImage
from leopart_mm.exports.segments import Segments, find_segments
from leopart_mm.files import printable, shorten
from leopart_mm.progress import progress


class NothingToExportError(ValueError):
    """No image has what a format needs."""


@dataclass
class ExportJob:
    """An export.

    Args:
        folder: The segmented folder.
        categories: What is exported of the clusters.
        whole: All pixels of a category in an image are one segment, connected or not.
        min_area: Smaller segments are left out, in pixels.
        notes: What the user should know, one sentence each; formats add to it.
    """

    folder: SegmentedFolder
    categories: Categories
    whole: bool = False
    min_area: int = 1
    notes: list[str] = field(default_factory=list)

    def sizes(self) -> Iterator[tuple[SegmentedImage, tuple[int, int]]]:
        """Every image with the (height, width) of its label map."""
        for image in self.folder:
            yield image, image_size(image.file) or self.folder.labels(image).shape

    def segments(self, title: str, rows: bool = False) -> Iterator[tuple[SegmentedImage, Segments]]:
        """Every image with its segments, one at a time.

        Args:
            title: What the progress says.
            rows: Runs along rows instead of columns: the image is turned over its diagonal, x is y and y is x.
        """
        for image in progress(self.folder, f'Exporting {title}', len(self.folder), time_left=True):
            labels = self.folder.labels(image)
            yield image, find_segments(labels.T if rows else labels, self.categories.lookup, self.whole, self.min_area)

    def note(self, names: list[str], text: str) -> None:
        """Add a note about some images; none without any.

        Args:
            names: Names of images.
            text: What goes for them, a sentence without its end.
        """
        if names:
            self.notes.append(f'{text} ({len(names)}: {shorten(map(printable, names))}).')
