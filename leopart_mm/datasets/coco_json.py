"""COCO's JSON files, of annotated images and of results: read with checks, written whole."""

import json
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leopart_mm.files import printable, shorten, write_whole

KINDS = ('dataset', 'results')
Entry = dict[str, Any]


@dataclass(frozen=True)
class CocoFile:
    """What a file holds.

    Args:
        images: ``id``, ``file_name``, ``height`` and ``width`` each, in the order of the file; none for results.
        annotations: ``image_id`` and ``category_id`` each; results have a ``score`` too.
        categories: ``id`` and ``name`` each; none for results.
        info: What the file says of itself.
    """

    images: list[Entry]
    annotations: list[Entry]
    categories: list[Entry]
    info: Entry = field(default_factory=dict)

    def by_image(self) -> dict[Any, list[Entry]]:
        """Image id -> its annotations, images and annotations in the order of the file."""
        found: dict[Any, list[Entry]] = {image['id']: [] for image in self.images}
        for annotation in self.annotations:
            found.setdefault(annotation['image_id'], []).append(annotation)
        return found


def coco_kind(path: str | os.PathLike) -> str:
    """'results' if a file begins as a list does, else 'dataset'.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    with open(path, 'rb') as stream:
        while letter := stream.read(1):
            if not letter.isspace():
                return 'results' if letter == b'[' else 'dataset'
    return 'dataset'


def read_coco(path: str | os.PathLike, kind: str = 'dataset', images: Sequence[Entry] | None = None,
              categories: Sequence[Entry] | None = None) -> CocoFile:
    """Read a file of annotated images, or a list of results.

    Args:
        path: The file.
        kind: 'dataset' or 'results'.
        images: The images that results may be of, such as those of the ground truth; None: any.
        categories: The categories that results may have; None: any.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is cut off or damaged (the message names the byte), of the other kind, or if an entry lacks a
            key, is of an unknown image or category, or a mask has another size than its image.
    """
    if kind not in KINDS:
        raise ValueError(f'kind={kind!r} is unknown: use {" or ".join(map(repr, KINDS))}.')
    path = Path(path).expanduser()
    content = _load(path)
    if kind == 'results':
        if not isinstance(content, list):
            raise ValueError(f'{printable(path)} is no list of results, but holds {_describe(content)}.')
        _check_annotations(path, content, images, categories, ('image_id', 'category_id', 'score'))
        return CocoFile([], content, [])
    lists = [content.get(key) for key in ('images', 'annotations', 'categories')] if isinstance(content, dict) else [0]
    if not all(isinstance(entries, list) for entries in lists):
        raise ValueError(f'{printable(path)} is no file of annotations in COCO\'s form, with the lists images, '
                         f'annotations and categories: it holds {_describe(content)}.')
    found = CocoFile(*lists, info=content['info'] if isinstance(content.get('info'), dict) else {})
    _check_images(path, found.images)
    _check_unique(path, 'category', found.categories, ('id', 'name'))
    _check_annotations(path, found.annotations, found.images, found.categories, ('image_id', 'category_id'))
    return found


def best_per_image(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The result of highest score of each image, the first one on ties, in the order in which images occur.

    >>> [entry['score'] for entry in best_per_image(
    ...     [dict(image_id=3, score=0.1), dict(image_id=1, score=0.5), dict(image_id=3, score=0.2)])]
    [0.2, 0.5]
    """
    best: dict[Any, dict[str, Any]] = {}
    for entry in results:
        if entry['image_id'] not in best or entry['score'] > best[entry['image_id']]['score']:
            best[entry['image_id']] = entry
    return list(best.values())


def write_coco(path: str | os.PathLike, images: Iterable[Entry], annotations: Iterable[Entry],
               categories: Iterable[Entry], info: Mapping[str, Any] | None = None) -> None:
    """Write a file of annotated images, an entry a line, whole or not at all; equal content gives equal bytes.

    Raises:
        OSError: If it cannot be written.
    """
    with write_whole(path) as temporary, open(temporary, 'w', encoding='utf-8', errors='surrogateescape') as stream:
        stream.write('{')
        if info is not None:
            stream.write(f'"info": {json.dumps(dict(info))},\n')
        for name, entries in (('images', images), ('annotations', annotations), ('categories', categories)):
            stream.write(f'"{name}": ')
            _write_list(stream, entries)
            stream.write('}\n' if name == 'categories' else ',\n')


def write_results(path: str | os.PathLike, results: Iterable[Entry]) -> None:
    """Write a list of results likewise.

    Raises:
        OSError: If it cannot be written.
    """
    with write_whole(path) as temporary, open(temporary, 'w', encoding='utf-8', errors='surrogateescape') as stream:
        _write_list(stream, results)
        stream.write('\n')


def _write_list(stream: Any, entries: Iterable[Entry]) -> None:
    stream.write('[')
    for number, entry in enumerate(entries):
        stream.write((',\n' if number else '\n') + json.dumps(entry))
    stream.write(']')


def _load(path: Path) -> Any:
    content = path.read_bytes()
    try:
        text = content.decode('utf-8')
        return json.loads(text)
    except UnicodeDecodeError as error:
        byte, reason = error.start, 'no UTF-8 from there on'
    except json.JSONDecodeError as error:
        byte, reason = len(text[:error.pos].encode()), error.msg
    cut = len(content.rstrip()) - byte < 5 or 'Unterminated' in reason  # in the middle of true, of null, ...
    end = 'it is cut off' if cut else 'it is damaged'
    raise ValueError(f'{printable(path)} is no whole JSON: {end} at byte {byte} of {len(content)} ({reason}). Make it '
                     'again; tools that write such files resume from the last whole image.')


def _describe(content: Any) -> str:
    if isinstance(content, dict):
        return f'the keys {shorten(content)}' if content else 'no key'
    return 'a list' if isinstance(content, list) else f'a {type(content).__name__}'


def _check_unique(path: Path, what: str, entries: Sequence[Entry], keys: Sequence[str]) -> None:
    seen = set()
    for position, entry in enumerate(entries):
        _check_keys(path, what, position, entry, keys)
        if entry['id'] in seen:
            raise ValueError(f'{printable(path)}: two entries of {what} have the id {entry["id"]!r}.')
        seen.add(entry['id'])


def _check_keys(path: Path, what: str, position: int, entry: Any, keys: Sequence[str]) -> None:
    lacking = [key for key in keys if not isinstance(entry, dict) or entry.get(key) is None]
    if lacking:
        raise ValueError(f'{printable(path)}: {what} number {position} (from 0) has no {", ".join(lacking)}.')
    for key in keys:
        is_id = key == 'id' or key.endswith('_id')
        if is_id and (not isinstance(entry[key], int | str) or isinstance(entry[key], bool)):
            raise ValueError(f'{printable(path)}: {what} number {position} has the {key} {entry[key]!r}, which is '
                             'neither a whole number nor a text.')


def _check_images(path: Path, images: Sequence[Entry]) -> None:
    _check_unique(path, 'image', images, ('id', 'file_name', 'height', 'width'))
    for image in images:
        if any(not isinstance(image[key], int) or image[key] < 1 for key in ('height', 'width')):
            raise ValueError(f'{printable(path)}: image {image["id"]!r} has a height of {image["height"]!r} and a '
                             f'width of {image["width"]!r} pixels.')


def _check_annotations(path: Path, annotations: Sequence[Entry], images: Sequence[Entry] | None,
                       categories: Sequence[Entry] | None, keys: Sequence[str]) -> None:
    sizes = None if images is None else {image['id']: [image['height'], image['width']] for image in images}
    known: Collection | None = None if categories is None else {category['id'] for category in categories}
    for position, entry in enumerate(annotations):
        _check_keys(path, 'annotation', position, entry, keys)
        name = f'{printable(path)}: annotation {entry.get("id", f"number {position} (from 0)")}'
        if sizes is not None and entry['image_id'] not in sizes:
            raise ValueError(f'{name} is of image {entry["image_id"]!r}, which is not among the images.')
        if known is not None and entry['category_id'] not in known:
            raise ValueError(f'{name} has category {entry["category_id"]!r}, but there are only '
                             f'{shorten(sorted(known, key=str), 25)}.')
        if 'score' in keys and not (isinstance(entry['score'], int | float) and math.isfinite(entry['score'])):
            raise ValueError(f'{name} has the score {entry["score"]!r}, which is no finite number.')
        segmentation = entry.get('segmentation')
        if sizes is not None and isinstance(segmentation, dict) and 'size' in segmentation and (
                list(segmentation['size']) != sizes[entry['image_id']]):
            found, expected = segmentation['size'], sizes[entry['image_id']]
            raise ValueError(f'{name} has a mask of {" x ".join(map(str, found))} pixels, but its image '
                             f'{entry["image_id"]!r} has {" x ".join(map(str, expected))} (height x width).')
