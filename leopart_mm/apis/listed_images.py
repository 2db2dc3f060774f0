"""Images of a folder by the names that a list or a file of annotations gives them."""

import os
from collections.abc import Sequence
from pathlib import Path

from leopart_mm.apis.image_inputs import ImageList, list_images, named_images
from leopart_mm.datasets.file_lists import read_lines, readings
from leopart_mm.datasets.object_boxes import ImageMatcher
from leopart_mm.files import printable, shorten


def find_images(folder: str | os.PathLike, names: Sequence[str], listing: str | os.PathLike,
                columns: bool = False) -> list[str]:
    """The file of each name.

    Args:
        folder: The folder that the names are relative to. A name may lack its suffix, or have folders in front that lie
            above `folder`.
        names: The names.
        listing: Where they come from, for messages.
        columns: Whether a name may be a line with a second column, a mask or a number, see `readings`.

    Raises:
        FileNotFoundError: If images are missing; the message counts them.
    """
    found, missing = [], []
    others: ImageMatcher | None = None
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            if others is None:
                files = {os.path.relpath(file, folder): file for file in list_images(folder).images}
                others = ImageMatcher(files)
            meanings = [reading for reading, _ in readings(name)] if columns else [name]
            other = next(filter(None, map(others.find, meanings)), None)
            if other is None:
                missing.append(name)
                continue
            path = files[other]
        found.append(path)
    if missing:
        raise FileNotFoundError(f'{len(missing)} of the {len(names)} images of {printable(listing)} are not in '
                                f'{printable(folder)} ({shorten(map(printable, missing))}): give the folder that their '
                                'names are relative to, by --images.')
    return found


def read_image_list(folder: str | os.PathLike, listing: str | os.PathLike) -> ImageList:
    """The images of a text file with a name per line, such as VOC's lists, with or without a second column.

    Raises:
        FileNotFoundError: If the list or an image is missing.
        ValueError: If the list is empty.
    """
    names = read_lines(Path(listing).expanduser())
    if not names:
        raise ValueError(f'The list {printable(listing)} names no image.')
    return named_images(find_images(folder, names, listing, columns=True), folder)
