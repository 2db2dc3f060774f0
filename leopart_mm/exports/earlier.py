"""Exports of earlier runs: made again when names or label maps have changed, so that none is left that shows others."""

import json
import os
from pathlib import Path
from typing import Any

from leopart_mm.files import write_text_whole
from leopart_mm.fingerprints import text_fingerprint
from leopart_mm.written_files import WrittenFiles

EXPORTS = 'exports'  # below the folder of the segments
RECORD = '.leopart_mm-exports.json'


def earlier_exports(folder: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """How each format was exported last: its options, and the `state` of names and label maps then."""
    try:
        content = json.loads((Path(folder) / EXPORTS / RECORD).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def note_export(folder: str | os.PathLike, name: str, options: dict[str, Any] | None, state: str = '') -> None:
    """Keep how a format was exported; None for `options` forgets it."""
    known = {key: value for key, value in earlier_exports(folder).items() if key != name}
    if options is not None:
        known[name] = dict(options, state=state)
    write_text_whole(Path(folder) / EXPORTS / RECORD, json.dumps(known, indent=1) + '\n')


def remove_exports(folder: str | os.PathLike) -> None:
    """Remove the files of all formats, since label maps are about to change; how they were made stays known."""
    for name, options in earlier_exports(folder).items():
        note_export(folder, name, {key: value for key, value in options.items() if key != 'state'})
        WrittenFiles(Path(folder) / EXPORTS, name).replace([])


def export_state(folder: str | os.PathLike, names_file: str | os.PathLike | None) -> str:
    """A fingerprint of what an export shows: the naming file, and size and time of every label map."""
    folder = Path(folder)
    names_file = folder / 'names.yaml' if names_file is None else Path(names_file)
    names = names_file.read_text(encoding='utf-8', errors='surrogateescape') if names_file.is_file() else None
    maps = sorted((os.fspath(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
                  for path in (folder / 'labels').rglob('*.png'))
    return text_fingerprint(ascii((names, maps)))
