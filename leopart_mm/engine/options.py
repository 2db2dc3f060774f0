"""`--cfg-options KEY=VALUE`: the config says what kind of value a key holds."""

import ast
import re
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from leopart_mm.cli.arguments import TypedText

PATH_NAME = re.compile(r'(^|_)(root|dir|file|path|prefix|checkpoint|weights|backbone|load_from|folders?|fitted)$')
MAPPING = re.compile(r'\s*(dict\(.*|\{.*\}\s*)', re.DOTALL)
SEPARATOR = re.compile(r'[/\\]|^[A-Za-z]:')


def interpret(key: str, value: Any, present: Any = None) -> Any:
    """The value of an option: text where a path belongs, else what MMEngine makes of it.

    >>> interpret('data_root', TypedText('2024'))
    '2024'
    >>> interpret('train_dataloader.batch_size', TypedText('2024'), 64)
    2024
    >>> interpret('crop_sizes', TypedText('224,98'), (518, 98))
    [224, 98]
    >>> interpret('model.decode_head.debias', TypedText("dict(type='leopart_mm.BlackImageDebias', rank=8)"))
    {'type': 'leopart_mm.BlackImageDebias', 'rank': 8}

    Args:
        key: The key, dotted or not.
        value: `TypedText` is interpreted, everything else is returned as it is.
        present: What the config holds under this key, if anything.

    Returns:
        For a path: the text, with one pair of quotes around it removed and a leading '~/' expanded; 'None' is None. For
        dict(...) and {...}: the dict, as config files write it.

    Raises:
        ValueError: If the value cannot be understood; the message names the key.
    """
    if not isinstance(value, TypedText):
        return value
    if not is_path(key, present):
        return _plain_value(key, str(value))
    text = str(value)
    if len(text) > 1 and text[0] == text[-1] and text[0] in '"\'':
        text = text[1:-1]
    if text == 'None':
        return None
    return str(Path(text).expanduser()) if text.startswith(('~/', '~\\')) else text


def _plain_value(key: str, text: str) -> Any:
    try:
        if MAPPING.fullmatch(text):
            return _literal(ast.parse(text.strip(), mode='eval').body)
        return DictAction._parse_iterable(text)
    except (SyntaxError, ValueError, AssertionError, RecursionError) as error:  # MMEngine never ends with 'a(b,c)'
        raise ValueError(f'--cfg-options {key}={text}: this value cannot be understood. Write numbers, texts or [a,b]; '
                         f"a dict as \"{key}=dict(type='NAME', number=8)\", or as its parts, {key}.type=NAME "
                         f'{key}.number=8.') from error


def _literal(node: ast.expr) -> Any:
    """The value of an expression of plain values, lists and dicts; no other name is looked up."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args and (
            all(word.arg for word in node.keywords)):
        return {word.arg: _literal(word.value) for word in node.keywords}
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(name): _literal(value) for name, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    return ast.literal_eval(node)


def is_path(key: str, present: Any = None) -> bool:
    """Whether a key holds a path: by its name ('data_root', 'ann_file', ...), or by the path that it holds."""
    if isinstance(present, list | tuple | dict | bool | int | float):
        return False
    *parents, name = key.split('.')
    return (PATH_NAME.search(name) is not None or 'data_prefix' in parents
            or (isinstance(present, str) and SEPARATOR.search(present) is not None))
