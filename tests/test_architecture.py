"""The plan of the house: no room imports from a floor above it, and no two rooms import each other.

    python -m tests.test_architecture     prints rooms, floors, line counts and arrows
"""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import networkx as nx

from tests.paths import REPO

# From the ground up; rooms of one floor may use each other as long as there is no circle.
FLOORS = (
    ('version', 'after_import', 'cli', 'devices', 'late_checks', 'registry', 'progress', 'files', 'fingerprints',
     'folder_lock', 'output_index', 'weight_folder', 'worker_processes', 'written_files', 'palette', 'compat'),
    ('checkpoints', 'geometry'),
    ('clustering', 'masks', 'retrieval'),
    ('datasets', ),
    ('evaluation', 'visualization'),
    ('exports', ),
    ('models.backbones', 'models.data_preprocessors'),
    ('models.necks', 'models.losses', 'models.fitting'),
    ('models.selfsup', 'models.decode_heads', 'models.postprocessors'),
    ('models.segmentors', ),
    ('models', ),  # its __init__ and modules beside the folders
    ('engine', ),
    ('apis', ),
    ('doctor', ),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGE = 'leopart_mm'


def find_modules(package=REPO / PACKAGE):
    """Module name -> file."""
    modules = {}
    for file in sorted(Path(package).rglob('*.py')):
        parts = file.relative_to(Path(package).parent).with_suffix('').parts
        modules['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = file
    return modules


def imports_of(source, modules):
    """Modules of the package that a source imports, wherever in the file, for type checking too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = (f'{node.module}.{alias.name}' for alias in node.names)
            found |= {name if name in modules else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split('.')[0] == PACKAGE}


def room_of(module):
    """The folder below the package; `models` is a storey of its own, with rooms."""
    parts = module.split('.')[1:]
    if not parts:
        return None  # leopart_mm/__init__.py is the door
    return '.'.join(parts[:2]) if parts[0] == 'models' and len(parts) > 1 else parts[0]


def arrows(modules):
    """Room -> room -> the imports (module, imported module) between them."""
    found = defaultdict(lambda: defaultdict(list))
    for module, file in modules.items():
        for target in sorted(imports_of(file.read_text(), modules)):
            start, end = room_of(module), room_of(target)
            if None not in (start, end) and start != end:
                found[start][end].append((module, target))
    return found


def upward(found):
    """Arrows that lead to a floor above."""
    return [f'{module} imports {target}' for start, ends in found.items() for end, imports in ends.items()
            if FLOOR_OF.get(end, 0) > FLOOR_OF.get(start, 0) for module, target in imports]


def circles(found):
    """Groups of rooms that import each other."""
    graph = nx.DiGraph([(start, end) for start, ends in found.items() for end in ends])
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def test_every_room_has_a_floor():
    rooms = {room_of(module) for module in find_modules()} - {None}
    assert rooms <= set(FLOOR_OF), f'Put {sorted(rooms - set(FLOOR_OF))} on a floor of FLOORS.'


def test_no_arrow_leads_upwards():
    assert upward(arrows(find_modules())) == []


def test_no_rooms_import_each_other():
    assert circles(arrows(find_modules())) == []


def test_a_wrong_import_is_found(tmp_path):
    for name, text in (('geometry/boxes.py', 'def f():\n    from leopart_mm.apis import Inferencer\n'),
                       ('apis/__init__.py', 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n'
                                            '    from leopart_mm.geometry.boxes import f\n'),
                       ('geometry/__init__.py', ''), ('__init__.py', 'from leopart_mm.apis import f\n')):
        file = tmp_path / PACKAGE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = arrows(find_modules(tmp_path / PACKAGE))
    assert upward(found) == ['leopart_mm.geometry.boxes imports leopart_mm.apis']
    assert circles(found) == [['apis', 'geometry']]


def lines_of(modules):
    """Room -> number of files and lines."""
    files, lines = Counter(), Counter()
    for module, file in modules.items():
        room = room_of(module) or PACKAGE
        files[room] += 1
        lines[room] += len(file.read_text().splitlines())
    return files, lines


def main():
    """Print the rooms from the roof to the ground."""
    modules = find_modules()
    found = arrows(modules)
    files, lines = lines_of(modules)
    for floor in reversed(range(len(FLOORS))):
        for room in FLOORS[floor]:
            targets = ', '.join(f'{end} {len(imports)}' for end, imports in sorted(found[room].items()))
            print(f'{floor:2d}  {room:24s} {files[room]:3d} files {lines[room]:5d} lines  -> {targets or "nothing"}')
    rest = {room: count for room, count in lines.items() if room not in FLOOR_OF}
    print(f'{sum(files.values())} files, {sum(lines.values())} lines ({rest}); circles: {circles(found) or "none"}; '
          f'arrows upwards: {upward(found) or "none"}')


if __name__ == '__main__':
    main()
