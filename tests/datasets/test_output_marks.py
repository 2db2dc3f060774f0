"""What runs wrote is not taken for images, wherever it lies; what people put beside it is."""

from pathlib import Path

import pytest

from leopart_mm.datasets.file_lists import find_files
from leopart_mm.datasets.output_marks import claim_pictures, mark_outputs, refuse_strangers


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


def test_marks_of_several_runs_in_one_folder_stay(tmp_path):
    make(tmp_path, 'labels/a.png', 'b.png', 'c.png')
    mark_outputs(tmp_path, ['labels'])
    mark_outputs(tmp_path, ['b.png'])
    assert found(tmp_path) == ['c.png']


def test_outputs_replace_what_is_marked_and_nothing_else(tmp_path):
    make(tmp_path, 'report.json', 'list.txt')
    mark_outputs(tmp_path, ['list.txt'])
    refuse_strangers(tmp_path, ['list.txt', 'new.txt'])
    with pytest.raises(ValueError, match=r'report\.json would be replaced, but no run wrote it there'):
        refuse_strangers(tmp_path, ['list.txt', 'report.json'])
    refuse_strangers(tmp_path / 'none', ['report.json'])


def test_pictures_replace_those_of_runs_and_nothing_else(tmp_path):
    make(tmp_path, 'in/a.jpg', 'in/sub/b.jpg', 'show/mine.jpg')
    images = [tmp_path / 'in/a.jpg', tmp_path / 'in/sub/b.jpg']
    claim_pictures(tmp_path / 'show', ['a.jpg', 'sub/b.jpg'], images)
    make(tmp_path, 'show/a.jpg', 'show/sub/b.jpg')
    claim_pictures(tmp_path / 'show', ['c.jpg'], images)
    claim_pictures(tmp_path / 'show', ['a.jpg', 'sub/b.jpg'], images)
    assert found(tmp_path / 'show') == ['mine.jpg']
    with pytest.raises(ValueError, match=r'mine\.jpg would be replaced, but no run wrote it there'):
        claim_pictures(tmp_path / 'show', ['a.jpg', 'mine.jpg'], images)
    for names in (['a.jpg'], ['sub/c.jpg']):
        with pytest.raises(ValueError, match='would replace or hide the image'):
            claim_pictures(tmp_path / 'in', names, images)
