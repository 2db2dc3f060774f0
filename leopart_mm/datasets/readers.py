"""The reading steps of our data sets: one reader of images and masks for training, testing and applying."""

from collections.abc import Callable, Sequence
from typing import Any

# MMSegInferencer looks for a step of the name LoadImageFromFile, so configs keep the names of mmcv and mmseg.
READERS = dict(LoadImageFromFile='leopart_mm.LoadImage', LoadAnnotations='leopart_mm.LoadMask')


def with_our_readers(pipeline: Sequence[dict | Callable]) -> list[Any]:
    """A pipeline in which plain loading steps are ours; steps with arguments of their own stay as they are.

    >>> with_our_readers([dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', imdecode_backend='cv2')])
    [{'type': 'leopart_mm.LoadImage'}, {'type': 'LoadAnnotations', 'imdecode_backend': 'cv2'}]
    """
    return [_ours(step) for step in pipeline]


def _ours(step: dict | Callable) -> dict | Callable:
    if not isinstance(step, dict) or set(step) - {'type', '_scope_'} or not isinstance(step.get('type'), str):
        return step
    scope, _, name = step['type'].rpartition('.')
    if scope not in ('', 'mmseg') and (scope, name) != ('mmcv', 'LoadImageFromFile'):
        return step
    return dict(type=READERS[name]) if name in READERS else step
