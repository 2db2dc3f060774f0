"""Processes that worked together exit with the status of their work, whatever threads of the group still do."""

import json
import subprocess
import sys

import pytest

# Of each pair of processes one is tested. The other answers when that one no longer gives the interpreter away, so that
# gloo's thread waits for it to free the tensor: as it may for an instant in any run.
SCRIPT = """
import argparse, atexit, json, os, subprocess, sys, time
import torch, torch.distributed as dist
from leopart_mm.cli import run_tool

def join(rank):
    dist.init_process_group('gloo', init_method=f'file://{sys.argv[1]}_{name}', rank=rank, world_size=2)

def join_others():
    join(0)
    sys.setswitchinterval(60)
    dist.all_reduce(torch.ones(4), async_op=True)
    until = time.monotonic() + .5
    while time.monotonic() < until:
        pass

def be_the_other():
    join(1)
    time.sleep(.2)
    try:
        dist.all_reduce(torch.ones(4))
    finally:
        os._exit(0)

def tool(end):
    def work(args):
        join_others()
        return eval(end)
    run_tool(argparse.ArgumentParser(), work, failure=5, argv=[])

def python(end):
    join_others()
    sys.exit(eval(end))

def fail(error):
    raise error

found = {}
for name, (how, end) in json.loads(sys.argv[2]).items():
    sys.stdout.flush()
    other = os.fork()
    if other == 0:
        be_the_other()
    child = os.fork()
    if child == 0:
        atexit._clear()  # those of torch, in which that thread may get the interpreter
        globals()[how](end)
    found[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.waitpid(other, 0)
print(json.dumps(found))
"""
CASES = {  # how the process ends, and the status that it exits with
    'success': ('tool', 'print("done")', 0),
    'status': ('tool', '4', 4),
    'exit': ('tool', 'sys.exit(3)', 3),
    'words': ('tool', 'sys.exit("words")', 1),
    'error': ('tool', 'fail(FileNotFoundError(2, "No such file or directory", "x.png"))', 5),
    'interrupted': ('tool', 'fail(KeyboardInterrupt())', 130),
    'group_left': ('tool', 'atexit.register(lambda: print("in a group:", dist.is_initialized())) and 0', 0),
    'group_kept': ('tool', 'atexit.register(lambda: print("in a group:", dist.is_initialized())) and 2', 2),
    'python': ('python', '0', -6)}  # the last: its dying words may run into those of others


@pytest.fixture(scope='module')
def ended(tmp_path_factory):
    """Exit statuses, and what was printed, of all cases: torch is imported once."""
    folder = tmp_path_factory.mktemp('leaving')
    script = folder / 'tool.py'
    script.write_text(SCRIPT)
    cases = {name: (how, end) for name, (how, end, _) in CASES.items()}
    done = subprocess.run([sys.executable, script, folder / 'store', json.dumps(cases)], capture_output=True, text=True,
                          check=True)
    *printed, last = done.stdout.splitlines()
    return json.loads(last), printed, done.stderr


@pytest.mark.parametrize('name', CASES)
def test_the_status_is_that_of_the_work(ended, name):
    """Of `python`: if this fails, torch has mended the abort, and `leaving.py` can go."""
    assert ended[0][name] == CASES[name][2]


def test_exit_functions_run_and_what_was_said_arrives(ended):
    _, printed, errors = ended
    assert printed == ['done', 'in a group: False', 'in a group: True']
    assert errors.count('terminate called') == 1
    assert 'words' in errors.splitlines()
    assert 'tool.py: x.png: No such file or directory.' in errors.splitlines()


def test_a_process_on_its_own_ends_as_ever(tmp_path):
    script = tmp_path / 'tool.py'
    script.write_text('import argparse, atexit\natexit.register(print, "the last function")\n'
                      'from leopart_mm.cli import run_tool\nrun_tool(argparse.ArgumentParser(), lambda args: 3)\n')
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, 'the last function\n', '')
