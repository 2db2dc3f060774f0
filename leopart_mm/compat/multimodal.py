"""Keep mmpretrain importable beside today's transformers."""

import importlib.util
from pathlib import Path

from leopart_mm.after_import import after_import

GATE = 'mmpretrain.utils.dependency'
NEEDED = 'apply_chunking_to_forward'


def leave_out_multimodal_models() -> None:
    """Let mmpretrain do without its multimodal models where the installed transformers lacks what they need.

    mmpretrain 1.2 imports them as soon as transformers is installed, and then fails as a whole: they take names from
    `transformers.modeling_utils` that newer versions do not have (`TypeError: NoneType takes no arguments`). None of
    our networks is among them.
    """
    after_import(GATE, _close_gate)


def _close_gate() -> None:
    from mmpretrain.utils import dependency
    if dependency.WITH_MULTIMODAL and not has_names_for_multimodal():
        dependency.WITH_MULTIMODAL = False


def has_names_for_multimodal() -> bool:
    """Whether the installed transformers still has those names; it is not imported, which takes seconds."""
    spec = importlib.util.find_spec('transformers')
    folders = spec.submodule_search_locations if spec is not None else None
    file = Path(folders[0]) / 'modeling_utils.py' if folders else None
    return file is not None and file.is_file() and NEEDED in file.read_text(encoding='utf-8')
