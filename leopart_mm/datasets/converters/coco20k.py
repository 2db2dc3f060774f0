"""Cut COCO20k, or any list of images, out of a COCO JSON (docs/methods/maskdistill.md §14)."""

import os
from pathlib import Path, PurePosixPath

from leopart_mm.datasets.coco_json import CocoFile, read_coco, write_coco
from leopart_mm.datasets.conversion import ConversionError, require
from leopart_mm.datasets.file_lists import read_lines
from leopart_mm.files import printable, shorten

SELECTED, AGNOSTIC = 'instances_selected.json', 'instances_selected_agnostic.json'
SOURCE = 'It is part of annotations_trainval2014.zip of cocodataset.org.'
LIST = ('The list of COCO20k holds 19,817 lines train2014/COCO_train2014_<12 digits>.jpg. It is not part of '
        'leopart_mm: codes for object discovery such as TokenCut have it as datasets/coco_20k_filenames.txt.')


def select_images(found: CocoFile, names: list[str], listing: str = 'the list') -> CocoFile:
    """The images of a list and all of their annotations, crowds too, in its order; all categories.

    Args:
        found: The full file.
        names: Names of images, with or without folders in front; each counts once.
        listing: The list, for messages.

    Raises:
        ConversionError: If the file lacks some of the images, or the list is empty.
    """
    by_name = {PurePosixPath(image['file_name']).name: image for image in found.images}
    wanted = list(dict.fromkeys(PurePosixPath(name.replace('\\', '/')).name for name in names))
    missing = [name for name in wanted if name not in by_name]
    if missing or not wanted:
        raise ConversionError(f'{len(missing)} of the {len(wanted)} images of {printable(listing)} are not among those '
                              f'of the annotations: {shorten(map(printable, missing))}. COCO20k is cut out of '
                              'instances_train2014.json.' if missing else
                              f'The list {printable(listing)} names no image.')
    images = [by_name[name] for name in wanted]
    annotations = found.by_image()
    return CocoFile(images, [entry for image in images for entry in annotations[image['id']]], found.categories,
                    found.info)


def agnostic(found: CocoFile) -> CocoFile:
    """A copy in which all is one nameless category, 0."""
    return CocoFile(found.images, [dict(entry, category_id=0) for entry in found.annotations],
                    [dict(supercategory='', id=0, name='')], found.info)


def convert(source: str | os.PathLike, listing: str | os.PathLike, out: str | os.PathLike) -> CocoFile:
    """Write ``instances_selected.json`` and ``instances_selected_agnostic.json`` to a folder.

    Args:
        source: COCO's instances_train2014.json.
        listing: A text file with a name per line.
        out: The folder.

    Raises:
        ConversionError: If a file or an image is missing; the message names it.
        ValueError: If the JSON is damaged.
    """
    source, out = require(source, 'The file of annotations', SOURCE), Path(out).expanduser()
    names = read_lines(require(listing, 'The list of images', LIST))
    if any(source.samefile(out / name) for name in (SELECTED, AGNOSTIC) if (out / name).exists()):
        raise ConversionError(f'{printable(source)} would be replaced by its own part: choose another folder to write '
                              'to.')
    found = select_images(read_coco(source), names, str(listing))
    for name, part in ((SELECTED, found), (AGNOSTIC, agnostic(found))):
        write_coco(out / name, part.images, part.annotations, part.categories)
    print(f'{printable(out)}: {len(found.images)} images with {len(found.annotations)} annotations.')
    return found
