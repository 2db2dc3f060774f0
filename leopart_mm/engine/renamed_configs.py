"""Config files that were renamed: commands with an old name find the file under its new one."""

import logging
import re
from pathlib import Path

from mmengine.logging import print_log

RENAMED: tuple[tuple[str, str], ...] = ()


def find_config(path: str | Path) -> Path:
    """The config file at `path`, or the one that an old name of ours means now.

    Raises:
        FileNotFoundError: If there is neither; the message names close files of the folder.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return path
    new = new_name(path.as_posix())
    if new is not None and Path(new).is_file():
        print_log(f'{path} is called {new} now.', level=logging.WARNING)
        return Path(new)
    raise FileNotFoundError(f'There is no config file {path}. Configs lie under configs/; give the path to one.')


def new_name(path: str) -> str | None:
    """What a renamed config is called now; None if it was not renamed.

    >>> new_name('configs/neco/linear/linear_neco-vits14_voc.py')
    'configs/neco/linear/vits14_voc.py'
    """
    for old, new in RENAMED:
        renamed, count = re.subn(f'{old}$', new, path)
        if count:
            return renamed
    return None
