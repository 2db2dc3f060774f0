import json
import os

import pytest

from leopart_mm.apis.stages import Stage, run_stage, run_stages
from leopart_mm.fingerprints import file_fingerprint, files_fingerprint, settings_fingerprint


class Work:
    """Writes a file and returns a number; knows how often it ran and what it found."""

    def __init__(self, value=1, fail=False):
        self.value, self.fail, self.calls, self.found, self.given = value, fail, 0, None, None

    def __call__(self, folder, results):
        self.calls += 1
        self.found = sorted(path.name for path in folder.iterdir())
        self.given = results
        (folder / 'part.txt').write_text(str(self.value))
        if self.fail:
            raise RuntimeError('interrupted')
        (folder / 'out.txt').write_text('done')
        return dict(value=self.value)


def chain(first, second, settings=None, data='d'):
    one = Stage('one', first, settings or dict(k=1), dict(data=data), outputs=['out.txt'])
    return [one, Stage('two', second, dict(), dict(before=one))]


def test_finished_stages_are_read_and_later_ones_get_their_results(tmp_path):
    first, second = Work(3), Work(4)
    outcomes = run_stages(chain(first, second), tmp_path)
    assert [outcome.resumed for outcome in outcomes.values()] == [False, False]
    assert second.given == dict(one=dict(value=3))
    again = run_stages(chain(first, second), tmp_path)
    assert [outcome.resumed for outcome in again.values()] == [True, True]
    assert again['two'].result == dict(value=4)
    assert (first.calls, second.calls) == (1, 1)


def test_an_interrupted_stage_finds_its_folder_and_resumes(tmp_path):
    broken = Work(fail=True)
    with pytest.raises(RuntimeError):
        run_stages(chain(broken, Work()), tmp_path)
    work = Work()
    assert not run_stages(chain(work, Work()), tmp_path)['one'].resumed
    assert work.found == ['part.txt', 'stage.json']


@pytest.mark.parametrize(('change', 'what'), [(dict(settings=dict(k=2)), 'setting k'), (dict(data='e'), 'input data'),
                                              (dict(settings=dict(k=1, new=0)), 'setting new')])
def test_a_stale_stage_and_all_after_it_run_again_in_empty_folders(tmp_path, monkeypatch, change, what):
    said = []
    monkeypatch.setattr('leopart_mm.apis.stages.print_log', lambda text, **_: said.append(text))
    run_stages(chain(Work(), Work()), tmp_path)
    first, second = Work(), Work()
    run_stages(chain(first, second, **change), tmp_path)
    assert (first.calls, second.calls) == (1, 1)
    assert first.found == second.found == ['stage.json']
    assert f'Stage one: {what} changed' in said[0]
    assert 'Stage two: input before changed' in said[1]


def test_a_stale_stage_is_refused_on_request(tmp_path):
    run_stages(chain(Work(), Work()), tmp_path)
    with pytest.raises(ValueError, match=r"stage 'one' .* is stale: setting k changed"):
        run_stages(chain(Work(), Work(), settings=dict(k=2)), tmp_path, redo=False)
    assert (tmp_path / 'one' / 'out.txt').is_file()


def test_a_lost_output_is_made_again(tmp_path):
    run_stages(chain(Work(), Work()), tmp_path)
    (tmp_path / 'one' / 'out.txt').write_text('damaged')  # of another size than it was
    assert not run_stages(chain(Work(), Work()), tmp_path)['one'].resumed
    assert (tmp_path / 'one' / 'out.txt').read_text() == 'done'
    (tmp_path / 'one' / 'out.txt').unlink()
    assert not run_stages(chain(Work(), Work()), tmp_path)['one'].resumed


def test_refusals_name_the_cure(tmp_path):
    first, second = chain(Work(), Work())
    with pytest.raises(ValueError, match="'two' needs one: list it before"):
        run_stages([second, first], tmp_path)
    with pytest.raises(ValueError, match="Two stages are called 'one'"):
        run_stages([first, first], tmp_path)
    with pytest.raises(ValueError, match=r'without its output lost\.txt'):
        run_stage(Stage('three', Work(), outputs=['lost.txt']), tmp_path)
    assert not json.loads((tmp_path / 'three' / 'stage.json').read_text())['finished']
    (tmp_path / 'four').mkdir()
    (tmp_path / 'four' / 'holiday.jpg').write_text('mine')
    with pytest.raises(ValueError, match='files of something else'):
        run_stage(Stage('four', Work()), tmp_path)
    assert (tmp_path / 'four' / 'holiday.jpg').is_file()
    (tmp_path / 'one' / 'stage.json').write_text('{')
    with pytest.raises(ValueError, match='no record of a stage'):
        run_stage(first, tmp_path)


def test_fingerprints_of_files_follow_content_not_place(tmp_path):
    places = [tmp_path / name for name in ('a', 'b')]
    for place in places:
        (place / 'deep').mkdir(parents=True)
        for name in ('x.png', 'deep/y.png'):
            (place / name).write_bytes(b'12')
            os.utime(place / name, (5, 5))
    lists = [[place / 'x.png', place / 'deep/y.png'] for place in places]
    assert files_fingerprint(lists[0]) == files_fingerprint(lists[1])
    assert files_fingerprint(lists[0]) != files_fingerprint(lists[0][::-1])
    assert files_fingerprint(lists[0]) != files_fingerprint(lists[0][:1])
    before = files_fingerprint(lists[0])
    os.utime(lists[0][0])  # only touched
    assert files_fingerprint(lists[0]) == before
    lists[0][0].write_bytes(b'34')  # exchanged in place, of equal size and time
    os.utime(lists[0][0], (5, 5))
    assert files_fingerprint(lists[0]) != before
    assert file_fingerprint(lists[0][1]) == file_fingerprint(lists[1][0])
    assert file_fingerprint(lists[0][0]) != file_fingerprint(lists[0][1])


def test_files_among_settings_count_by_their_content(tmp_path):

    def of(path, **more):
        return settings_fingerprint(dict(masks=[dict(backbone=dict(checkpoint=str(path)))], root='/data', **more),
                                    ['/data'])

    for name in ('a.pth', 'copy.pth'):
        (tmp_path / name).write_bytes(b'12')
    before = of(tmp_path / 'a.pth')
    assert of(tmp_path / 'copy.pth') == before
    assert of(tmp_path / 'a.pth', scale=(448, 448)) != before
    (tmp_path / 'a.pth').write_bytes(b'34')
    assert of(tmp_path / 'a.pth') != before
    assert settings_fingerprint(dict(a=1, b=2)) == settings_fingerprint(dict(b=2, a=1))
    assert settings_fingerprint(['/data'], ['/data']) == settings_fingerprint(['/moved'], ['/moved'])
