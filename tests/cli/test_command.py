"""The command `leopart_mm`: tools and configs of this installation from any folder."""

import sys

import pytest

from leopart_mm.cli import command, shipped
from leopart_mm.engine.renamed_configs import find_config
from tests.paths import REPO


def test_every_tool_is_listed_with_what_it_does():
    tools = command.find_tools()
    assert {'train', 'test', 'segment_folder', 'dist_train', 'dataset_converters/voc_to_coco'} <= set(tools)
    text = command.overview(tools)
    for name, file in tools.items():
        assert f'  {name} ' in text
        assert len(command.summary(file)) > 10, name
        assert 'python ' not in command.summary(file)
    assert text.count('\n') == len(tools) + 1


def test_a_tool_gets_its_arguments_and_its_status_is_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['leopart_mm'])  # put back afterwards
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            command.main(list(arguments))
        return stop.value.code, *capsys.readouterr()

    status, out, _ = run('generate_sample', 'scenes', '--images', '2', '--size', '32')
    assert status == 0
    assert out.startswith('Wrote 1 training and 1 validation images of 32 x 32 pixels to scenes')
    assert len(list((tmp_path / 'scenes/JPEGImages').iterdir())) == 2
    assert run('generate_sample.py', 'scenes', '--images', '1') == (
        1, '', 'generate_sample.py: The sample needs at least 2 images (train and val), not 1.\n')
    status, out, _ = run('dist_train')
    assert status == 2
    assert run('--help')[:2] == (0, command.overview(command.find_tools()) + '\n')


def test_an_unknown_tool_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(['segment_foldr'])
    assert stop.value.code == 2
    assert capsys.readouterr().err == ('leopart_mm: there is no tool segment_foldr; segment_folder is near. '
                                       '`leopart_mm` alone lists all of them.\n')


@pytest.mark.parametrize('prefix', ['configs/', 'leopart_mm::'])
def test_configs_are_found_from_other_folders(tmp_path, monkeypatch, prefix):
    monkeypatch.chdir(tmp_path)
    name = 'leopart/leopart_dino-vits16_folder.py'
    assert find_config(prefix + name) == (REPO / 'configs' / name, {})
    old = 'neco/linear/linear_neco-vits14_voc.py'
    assert find_config(prefix + old) == (REPO / 'configs/neco/linear/vits14_voc.py', {})
    with pytest.raises(FileNotFoundError, match=r'There is no config file .*nothing\.py'):
        find_config(prefix + 'nothing.py')
    (tmp_path / 'configs/leopart').mkdir(parents=True)
    own = tmp_path / 'configs' / name
    own.write_text('')
    assert find_config(f'configs/{name}')[0].resolve() == own  # a file of this folder comes first


def test_an_installation_without_them_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, 'PACKAGE', tmp_path / 'leopart_mm')
    with pytest.raises(FileNotFoundError, match='has no configs: they are neither in'):
        shipped.shipped_folder('configs')
