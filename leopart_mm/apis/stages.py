"""Runs of several stages that resume: a finished stage is read, a stale one runs again, and the log says why.

A `Stage` has a name, settings and inputs (files, data, or earlier stages), from which its fingerprint follows, and a
folder of its own for any number of outputs. Before it runs, its fingerprint is written to ``<folder>/stage.json``; when
it has finished, its result too. So an interrupted stage finds its folder as it left it, and may resume inside, while
files of other settings are removed before it starts: outputs are never a mixture.

    images = files_fingerprint(paths)
    masks = Stage('masks', make_masks, settings=dict(threshold=.5), inputs=dict(images=images))
    clusters = Stage('clusters', cluster, settings=dict(k=21), inputs=dict(images=images, masks=masks))
    outcomes = run_stages([masks, clusters], Path('work_dirs/chain'))
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from leopart_mm.files import shorten, write_text_whole
from leopart_mm.fingerprints import text_fingerprint

RECORD = 'stage.json'


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Args:
        name: Name of the stage and of its folder.
        run: Called with the stage's folder and the results of the stages among its inputs (by name). It may write any
            number of files into the folder, each as a whole, and returns a result that JSON can hold.
        settings: All that decides the result besides the inputs; values that JSON can hold.
        inputs: Name -> an earlier Stage, or the fingerprint of something outside, see `file_fingerprint` and
            `files_fingerprint`.
        outputs: Names of files in the folder without which the stage is not finished.
    """

    name: str
    run: Callable[[Path, dict[str, Any]], Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, 'Stage | str'] = field(default_factory=dict)
    outputs: Sequence[str] = ()

    def parts(self) -> dict[str, str]:
        """Fingerprint of each setting and each input, by name."""
        settings = {f'setting {key}': text_fingerprint(json.dumps(value, sort_keys=True))
                    for key, value in self.settings.items()}
        return settings | {f'input {key}': value.fingerprint() if isinstance(value, Stage) else value
                           for key, value in self.inputs.items()}

    def fingerprint(self) -> str:
        """Of the settings and inputs, those of the stages before included."""
        return text_fingerprint(json.dumps(self.parts(), sort_keys=True))


@dataclass(frozen=True)
class Outcome:
    """What a stage gave.

    Args:
        result: Result of the stage, from this or an earlier run.
        resumed: Whether it was read from an earlier run.
    """

    result: Any
    resumed: bool


def outcome_lines(outcomes: Mapping[str, Outcome], folder: str | os.PathLike) -> list[str]:
    """What became of each stage of a run in a folder, for people."""
    return [f'{name}: {"from an earlier run" if outcome.resumed else "done"}, in {Path(folder) / name}'
            for name, outcome in outcomes.items()]


def run_stages(stages: Sequence[Stage], folder: str | os.PathLike, redo: bool = True) -> dict[str, Outcome]:
    """Run stages in order, each in ``<folder>/<name>``; those that are finished are read.

    Args:
        stages: Each after the stages among its inputs.
        folder: Folder of the run.
        redo: See `run_stage`.

    Returns:
        Outcomes by name.

    Raises:
        ValueError: If two stages share a name, an input is no earlier stage, or as in `run_stage`.
    """
    outcomes: dict[str, Outcome] = {}
    for stage in stages:
        if stage.name in outcomes:
            raise ValueError(f'Two stages are called {stage.name!r}: give them different names.')
        before = [value.name for value in stage.inputs.values() if isinstance(value, Stage)]
        missing = [name for name in before if name not in outcomes]
        if missing:
            raise ValueError(f'The stage {stage.name!r} needs {shorten(missing)}: list it before.')
        outcomes[stage.name] = run_stage(stage, folder, {name: outcomes[name].result for name in before}, redo)
    return outcomes


def run_stage(stage: Stage, folder: str | os.PathLike, results: Mapping[str, Any] | None = None,
              redo: bool = True) -> Outcome:
    """Run a stage in ``<folder>/<name>``, resume it, or read its result.

    Args:
        stage: The stage to run.
        folder: Folder of the run.
        results: Results of the stages among its inputs, by name.
        redo: Run a stale stage again: one that was begun with other settings or inputs. Its files are removed first.

    Raises:
        ValueError: If the stage is stale and `redo` is False, or the folder holds files but no stage.
    """
    place = Path(folder) / stage.name
    reason = None
    record = _read(place)
    if record is None and place.is_dir() and any(place.iterdir()):
        raise ValueError(f'The stage {stage.name!r} would write into {place}, which holds files of something else: '
                         'choose another folder, or empty this one.')
    if record is not None:
        reason = _stale(stage, record['parts'])
        if reason is None:
            reason = None if not record['finished'] else _incomplete(place, record['outputs'])
            if record['finished'] and reason is None:
                return Outcome(record['result'], True)
            print_log(f'Stage {stage.name}: resumed{f", since {reason}" if reason else ""}.', logger='current')
        elif not redo:
            raise ValueError(f'The stage {stage.name!r} in {place} is stale: {reason}. Give the old settings, choose '
                             'another folder, or run it again with redo.')
        else:
            print_log(f'Stage {stage.name}: {reason}, so it is run again.', logger='current')
            shutil.rmtree(place)
    _write(place, stage, dict(finished=False))
    result = stage.run(place, dict(results or {}))
    missing = [name for name in stage.outputs if not (place / name).is_file()]
    if missing:
        raise ValueError(f'The stage {stage.name!r} ended without its output {shorten(missing)} in {place}.')
    sizes = {name: (place / name).stat().st_size for name in stage.outputs}
    _write(place, stage, dict(finished=True, outputs=sizes, result=result))
    return Outcome(json.loads(json.dumps(result)), False)


def _read(place: Path) -> dict[str, Any] | None:
    try:
        return json.loads((place / RECORD).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f'{place / RECORD} is no record of a stage: remove it, or the folder.') from error


def _write(place: Path, stage: Stage, state: dict[str, Any]) -> None:
    record = dict(name=stage.name, settings=dict(stage.settings), parts=stage.parts(), **state)
    write_text_whole(place / RECORD, json.dumps(record, indent=1) + '\n')


def _stale(stage: Stage, saved: Mapping[str, str]) -> str | None:
    """What has changed, in words; None if nothing."""
    parts = stage.parts()
    changed = [key for key in sorted(parts.keys() | saved.keys()) if parts.get(key) != saved.get(key)]
    return f'{shorten(changed)} changed since the run before' if changed else None


def _incomplete(place: Path, outputs: Mapping[str, int]) -> str | None:
    for name, size in outputs.items():
        file = place / name
        if not file.is_file() or file.stat().st_size != size:
            return f'its output {name} is missing or was changed'
    return None
