"""Files that users wrote on top of our older configs: bases under their old names, and stages by their numbers."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from mmengine.config import Config, ConfigDict

from leopart_mm.engine.renamed_configs import find_config, new_name

_LOCK = RLock()


@contextmanager
def old_bases() -> Iterator[None]:
    """Within this context MMEngine reads configs that inherit from our configs as they were.

    A path in `_base_` that was renamed finds the file under its new name. A file that cannot be run on top of its bases
    is read again with bases as they were:

    - Post-processors are a list (``_base_.model.postprocessors[1].update(...)``, ``[:2]``).
    - Two bases may give a key the same value: scorers moved from ``overcluster_runtime.py`` to the models' files.

    Raises:
        Exception: If a file cannot be read either way: what reading it with the bases as they are raised.
    """
    find, read = Config._get_cfg_path, Config._file2dict
    # Per file that is being read: what its bases have given so far, if they are to be as they were.
    given: list[dict[str, Any] | None] = [None]

    def find_under_any_name(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        if not Path(path).is_file() and new_name(Path(path).as_posix()) is not None:
            path = str(find_config(path)[0])
        return path, scope

    def read_either_way(filename: str, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], str, dict]:
        given.append(None)
        try:
            result = read(filename, *args, **kwargs)
        except (KeyError, TypeError, AttributeError) as error:
            given[-1] = {}
            try:
                result = read(filename, *args, **kwargs)
            except Exception:
                raise error from None
        finally:
            given.pop()
        return result if given[-1] is None else (_as_it_was(result[0], given[-1]), *result[1:])

    with _LOCK:
        Config._get_cfg_path, Config._file2dict = staticmethod(find_under_any_name), staticmethod(read_either_way)
        try:
            yield
        finally:
            Config._get_cfg_path, Config._file2dict = staticmethod(find), staticmethod(read)


def _as_it_was(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A base config with its post-processors as a list, without what other bases gave already; notes what it gives."""
    base = {key: value for key, value in base.items() if key not in given or given[key] != value}
    given.update(base)
    model = base.get('model')
    stages = model.get('postprocessors') if isinstance(model, dict) else None
    if isinstance(stages, dict):
        from leopart_mm.models.fitting.chain import in_order  # loads mmseg, which most configs need not wait for
        stages = in_order(stages, model.get('stage_order') or ())
        listed = [copy.deepcopy(stage) for stage in stages.values() if stage is not None]
        base['model'] = ConfigDict({**model, 'postprocessors': listed})
    return base
