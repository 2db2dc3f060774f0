"""What users read of an error: one line for what they can mend, and the way to the traceback for the rest."""

import errno
import os
import re
import signal
import subprocess
import sys
from argparse import ArgumentParser
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from leopart_mm.checkpoints.safe_reading import load_checkpoint_file
from leopart_mm.cli import running
from leopart_mm.cli.errors import describe
from leopart_mm.cli.open_files import raise_open_files_limit
from leopart_mm.cli.running import run_tool
from leopart_mm.files import write_text_whole
from leopart_mm.registry import MODELS


def run(capsys, work, *arguments, **kwargs):
    """Exit status and stderr of a tool that does `work`."""
    with pytest.raises(SystemExit) as stop:
        run_tool(ArgumentParser(), work, argv=arguments, **kwargs)
    return stop.value.code, capsys.readouterr().err


def raising(error):
    def work(args):
        raise error
    return work


def missing_checkpoint(args):
    load_checkpoint_file('none.pth')


def bug(args):
    return {}['key']


def hidden_behind_our_error(args):
    try:
        bug(args)
    except KeyError:
        try:
            load_checkpoint_file('none.pth')
        except FileNotFoundError as found:
            raise RuntimeError('while loading') from found


def unknown_type(args):
    MODELS.build(dict(type='leopart_mm.DenseVit'))


def unknown_argument(args):
    MODELS.build(dict(type='leopart_mm.ProjectionHead', in_channel=3))


def test_an_error_of_ours_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/train.py'])
    status, error = run(capsys, missing_checkpoint)
    assert status == 1
    assert error.startswith('train.py: There is no checkpoint file none.pth')
    assert error.count('\n') == 1
    assert run(capsys, missing_checkpoint, failure=2)[0] == 2
    assert 'There is no checkpoint file none.pth' in describe_of(hidden_behind_our_error).text
    status, error = run(capsys, missing_checkpoint, '--debug')
    assert 'Traceback (most recent call last)' in error
    assert error.splitlines()[-1].startswith('train.py: There is no checkpoint file none.pth')


def describe_of(work):
    try:
        work(None)
    except Exception as error:
        return describe(error)
    raise AssertionError('no error')


@pytest.mark.parametrize(('work', 'words'), [
    (unknown_type, 'leopart_mm.DenseVit is not in the'),
    (unknown_argument, 'The config of ProjectionHead: '),
    (raising(PermissionError(errno.EACCES, 'Permission denied', '/root/x')), '/root/x: Permission denied. Choose a'),
    (raising(OSError(errno.EROFS, 'Read-only file system', '/mnt/x')), '/mnt/x: Read-only file system. Choose a'),
    (raising(OSError(errno.ENOSPC, 'No space left on device', 'a')), 'a: No space left on device. Free some'),
    (raising(OSError(errno.EMFILE, 'Too many open files', 'a')), 'Too many open files: this process may hold '),
    (raising(RuntimeError('received 0 items of ancdata')), 'Too many open files: this process may hold '),
    (raising(RuntimeError('DataLoader worker (pid 3) is killed by signal: Bus error. ')), '/dev/shm'),
    (raising(ModuleNotFoundError("No module named 'optuna'")), 'python -m leopart_mm.doctor'),
])
def test_what_users_can_mend_is_foreseen(work, words):
    found = describe_of(work)
    assert found.foreseen
    assert words in found.text
    assert '\n' not in found.text


def test_a_config_that_cannot_be_read(tmp_path):
    for name, source, words in (('a', 'model = dict(', "line 1: '(' was never closed"),
                                ('b', 'x = unknown_name', 'unknown_name')):
        file = tmp_path / f'{name}.py'
        file.write_text(source)
        found = describe_of(lambda args, file=file: Config.fromfile(str(file)))
        assert found.foreseen
        assert words in found.text


def test_an_error_in_a_data_worker_is_said_in_its_own_words():
    file = load_checkpoint_file.__code__.co_filename
    trace = ('Caught FileNotFoundError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n'
             f'  File "/x/torch/worker.py", line 349, in _worker_loop\n    data = fetch()\n  File "{file}", '
             'line 3, in read\n    raise FileNotFoundError(\nFileNotFoundError: a.png is missing.\n')
    assert describe(FileNotFoundError(trace)) == ('a.png is missing.', True)
    assert not describe(ValueError(trace.replace('leopart_mm', 'other'))).foreseen


def test_an_unexpected_error_keeps_its_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(running, 'log_file', lambda: None)
    monkeypatch.setattr(running.tempfile, 'tempdir', str(tmp_path))
    status, error = run(capsys, bug)
    assert status == 1
    assert "KeyError: key\nThis error is unexpected. Its traceback is in " in error
    assert error.rstrip().endswith('--debug shows the traceback.')
    kept, = tmp_path.glob('leopart_mm-traceback-*.txt')
    assert 'in bug' in kept.read_text()
    assert 'in bug' in run(capsys, bug, '--debug')[1]


def test_the_log_of_the_run_gets_tracebacks_of_all_errors(capsys, tmp_path):
    logger = MMLogger.get_instance('cli_errors', log_file=str(tmp_path / 'run.log'))
    assert run(capsys, missing_checkpoint)[0] == 1
    assert 'in missing_checkpoint' in (tmp_path / 'run.log').read_text()
    assert f'Its traceback is in {tmp_path / "run.log"}' in run(capsys, bug)[1]
    logger.handlers.clear()


def test_interrupt(capsys):
    status, error = run(capsys, raising(KeyboardInterrupt()), resume='Continue by --resume.')
    assert status == 130
    assert error.splitlines()[-1].endswith(': interrupted. Continue by --resume.')
    assert error.count('\n') == 1


def test_of_processes_that_fail_alike_one_speaks(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(running.tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    assert 'none.pth' in run(capsys, missing_checkpoint)[1]
    assert run(capsys, missing_checkpoint) == (1, '')
    assert 'other' in run(capsys, raising(PermissionError(errno.EACCES, 'no', 'other')))[1]
    monkeypatch.setattr(running, 'SAME_FAILURE', -1)  # long ago
    assert 'none.pth' in run(capsys, missing_checkpoint)[1]


def test_a_full_disk_and_a_read_only_folder_are_one_line(capsys, tmp_path):
    (tmp_path / 'file').write_text('')
    status, error = run(capsys, lambda args: write_text_whole(tmp_path / 'file' / 'x.txt', 'text'))
    assert status == 1
    assert 'cannot be written' in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(('soft', 'hard', 'expected'), [(64, 4096, 4096), (64, 1000, 1000), (64, -1, 4096),
                                                         (8192, 9000, 8192), (-1, -1, None)])
def test_the_limit_of_open_files_is_raised(soft, hard, expected):
    limits = [soft, hard]
    system = SimpleNamespace(RLIMIT_NOFILE=7, RLIM_INFINITY=-1, getrlimit=lambda which: tuple(limits),
                             setrlimit=lambda which, new: limits.__setitem__(slice(None), new))
    assert raise_open_files_limit(system=system) == expected
    assert limits == [expected or soft, hard]


def test_a_limit_that_cannot_be_raised_stays(monkeypatch):
    def refuse(which, limits):
        raise ValueError('not allowed')
    system = SimpleNamespace(RLIMIT_NOFILE=7, RLIM_INFINITY=-1, getrlimit=lambda which: (256, -1), setrlimit=refuse)
    assert raise_open_files_limit(system=system) == 256


def test_a_tool_raises_the_limit_for_itself(tmp_path):
    script = tmp_path / 'tool.py'
    script.write_text('import argparse, resource\nfrom leopart_mm.cli import run_tool\n'
                      'run_tool(argparse.ArgumentParser(), '
                      'lambda args: print(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))\n')
    done = subprocess.run(['bash', '-c', f'ulimit -Sn 64; {sys.executable} {script}'], capture_output=True, text=True,
                          check=True)
    assert int(done.stdout) > 64


def test_several_processes_say_it_once_and_torchrun_adds_one_line(tmp_path):
    script = tmp_path / 'tool.py'
    script.write_text('import argparse\nfrom leopart_mm.cli import run_tool\n'
                      'def work(args):\n    raise FileNotFoundError(2, "No such file or directory", "x.png")\n'
                      'run_tool(argparse.ArgumentParser(), work, failure=3)\n')
    done = subprocess.run([sys.executable, '-m', 'leopart_mm.cli.launch', '--nproc_per_node=2', '--master_port=29653',
                           str(script)], capture_output=True, text=True, check=False,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})  # else torchrun says that it chooses 1
    assert done.returncode == 3, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == 'tool.py: x.png: No such file or directory.'
    assert re.fullmatch(r'Process [01] failed with status 3; its message is above.', lines[1])
    assert len(lines) == 2


@pytest.mark.parametrize(('number', 'said'), [
    (signal.SIGINT, 'tool.py: interrupted. Run it again.\n'),
    (signal.SIGTERM, 'All processes were stopped by SIGTERM.\n')])
def test_a_signal_ends_several_processes_in_one_line(tmp_path, number, said):
    script = tmp_path / 'tool.py'
    script.write_text('import argparse, time\nfrom leopart_mm.cli import run_tool\n'
                      'def work(args):\n    print("begins", flush=True)\n    time.sleep(60)\n'
                      'run_tool(argparse.ArgumentParser(), work, resume="Run it again.")\n')
    process = subprocess.Popen(
        [sys.executable, '-m', 'leopart_mm.cli.launch', '--nproc_per_node=2', '--master_port=29654', str(script)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert [process.stdout.readline() for _ in range(2)] == ['begins\n'] * 2
    process.send_signal(number)
    assert process.communicate(timeout=50)[1] == said
    assert process.returncode == 128 + number


def test_ctrl_c_ends_a_tool_in_one_line(tmp_path):
    script = tmp_path / 'tool.py'
    script.write_text('import argparse, time\nfrom leopart_mm.cli import announce, run_tool\n'
                      'def work(args):\n    announce("begins")\n    time.sleep(60)\n'
                      'run_tool(argparse.ArgumentParser(), work, resume="Run it again.")\n')
    # A shell that starts the tests in the background lets them, and what they start, ignore Ctrl-C.
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout.readline() == 'begins\n'
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=50)[1] == 'tool.py: interrupted. Run it again.\n'
    assert process.returncode == 130


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    script = tmp_path / 'tool.py'
    script.write_text('import argparse\nfrom leopart_mm.cli import run_tool\n'
                      'def work(args):\n    for _ in range(9999):\n        print("line " * 99)\n'
                      'run_tool(argparse.ArgumentParser(), work)\n')
    done = subprocess.run(['bash', '-c', f'{sys.executable} {script} | head -1'], capture_output=True, text=True,
                          check=True)
    assert done.stderr == ''
