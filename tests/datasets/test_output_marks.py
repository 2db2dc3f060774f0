"""What runs wrote is not taken for images, wherever it lies; what people put beside it is."""

from pathlib import Path

import pytest

from leopart_mm.datasets.file_lists import find_files
from leopart_mm.datasets.output_marks import mark_outputs


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(folder, *inside):
    return [Path(file).relative_to(folder).as_posix() for file in find_files(folder.joinpath(*inside))]


def test_marked_entries(tmp_path):
    make(tmp_path, 'a.png', 'labels/a.png', 'run/labels/x/a.png', 'run/legend.png', 'run/b.png')
    mark_outputs(tmp_path / 'run', ['labels', 'legend.png'])
    assert found(tmp_path) == ['a.png', 'labels/a.png', 'run/b.png']
    assert found(tmp_path, 'run') == ['run/b.png']
    assert found(tmp_path, 'run', 'labels') == ['run/labels/x/a.png']  # asked for by name


@pytest.mark.parametrize('content', ['', '{', 'null', '3'])
def test_a_damaged_mark_hides_nothing(content, tmp_path):
    make(tmp_path, 'a.png')
    (tmp_path / '.leopart_mm-outputs.json').write_text(content)
    assert found(tmp_path) == ['a.png']
