"""The number of files that a process may hold open: data workers pass every tensor as one."""

import sys
from collections.abc import Callable
from types import ModuleType

ENOUGH = 4096


def raise_open_files_limit(enough: int = ENOUGH, system: ModuleType | None = None) -> int | None:
    """Raise the soft limit of open files (`ulimit -n`) to `enough`, or as far as the hard limit lets.

    Args:
        enough: Limit to raise to, if the hard limit allows it.
        system: The module `resource`; None imports it.

    Returns:
        The limit that now holds; None where there is none, or no such limit (Windows).
    """
    try:
        resource = system or __import__('resource')
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, OSError, ValueError):
        return None
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= enough:
        return None if soft == unlimited else soft
    limit = enough if hard == unlimited else min(enough, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    except (OSError, ValueError):  # macOS refuses more than its kernel's own limit
        return soft
    return limit


def too_many_open_files(limit: Callable[[], int | None] = raise_open_files_limit) -> str:
    """What to tell a user whose process ran out of open files."""
    held = limit()
    cure = 'run it in WSL' if sys.platform == 'win32' else '`ulimit -n 4096` in the shell (or its administrator) allows'
    return (f'Too many open files: this process may hold {held or "no more"} open, and data workers pass tensors as '
            f'files. {cure[0].upper() + cure[1:] if cure[0] != "`" else cure} more; '
            '--cfg-options train_dataloader.num_workers=0 (test_dataloader..., val_dataloader...) needs few.')
