"""`--cfg-options KEY=VALUE`: the config says what kind of value a key holds."""

import re
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from leopart_mm.cli.arguments import TypedText

PATH_NAME = re.compile(r'(^|_)(root|dir|file|path|prefix|checkpoint|weights|backbone|load_from|folders?|fitted)$')
SEPARATOR = re.compile(r'[/\\]|^[A-Za-z]:')


def interpret(key: str, value: Any, present: Any = None) -> Any:
    """The value of an option: text where a path belongs, else what MMEngine makes of it.

    >>> interpret('data_root', TypedText('2024'))
    '2024'
    >>> interpret('train_dataloader.batch_size', TypedText('2024'), 64)
    2024
    >>> interpret('crop_sizes', TypedText('224,98'), (518, 98))
    [224, 98]

    Args:
        key: The key, dotted or not.
        value: `TypedText` is interpreted, everything else is returned as it is.
        present: What the config holds under this key, if anything.

    Returns:
        For a path: the text, with one pair of quotes around it removed and a leading '~/' expanded; 'None' is None.
    """
    if not isinstance(value, TypedText):
        return value
    if not is_path(key, present):
        return DictAction._parse_iterable(str(value))
    text = str(value)
    if len(text) > 1 and text[0] == text[-1] and text[0] in '"\'':
        text = text[1:-1]
    if text == 'None':
        return None
    return str(Path(text).expanduser()) if text.startswith(('~/', '~\\')) else text


def is_path(key: str, present: Any = None) -> bool:
    """Whether a key holds a path: by its name ('data_root', 'ann_file', ...), or by the path that it holds."""
    if isinstance(present, list | tuple | dict | bool | int | float):
        return False
    *parents, name = key.split('.')
    return (PATH_NAME.search(name) is not None or 'data_prefix' in parents
            or (isinstance(present, str) and SEPARATOR.search(present) is not None))
