"""`--help`, and all that happens before the work, without the imports that take seconds."""

import ast
import subprocess
import sys

import pytest

from tests.paths import REPO

TOOLS = sorted(path for path in (REPO / 'tools').rglob('*.py') if path.name != 'doctor.py')
HEAVY = ('torch', 'mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'timm', 'cv2', 'sklearn')
CODE = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    print('heavy:', [name for name in {HEAVY} if name in sys.modules])
"""


def python(*arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
def test_help_imports_nothing_heavy(tool):
    done = python('-c', CODE, tool, '--help')
    assert done.returncode == 0, done.stderr
    assert '--debug' in done.stdout
    assert done.stdout.splitlines()[-1] == 'heavy: []'


def test_a_mistyped_option_is_said_without_imports():
    done = python('-c', CODE, REPO / 'tools/train.py', 'x.py', '--cfg-options', 'a')
    assert done.returncode == 2
    assert "'a' is not KEY=VALUE" in done.stderr
    assert done.stdout.splitlines()[-1] == 'heavy: []'


def test_the_first_line_comes_before_the_imports():
    """The statement after `announce` is the first heavy import."""
    for tool in ('train.py', 'test.py', 'search_communities.py'):
        tree = ast.parse((REPO / 'tools' / tool).read_text())
        main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == 'main')
        assert ast.unparse(main.body[0]).startswith("announce(f'Reading config {args.config} ...')")


def test_the_package_is_light_and_repairs_before_mmengine_is_used():
    done = python('-c', """
import sys
import leopart_mm, leopart_mm.doctor, leopart_mm.cli
assert not {'torch', 'mmengine'} & set(sys.modules)
# What repairs must not itself import MMEngine at its top: it may be importing it.
import leopart_mm.checkpoints.safe_reading, leopart_mm.compat
assert 'mmengine' not in sys.modules
import mmseg.models                                           # needs mmcv's operators
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.runner.checkpoint import CheckpointLoader
assert 'leopart_mm' in MODULE2PACKAGE
assert CheckpointLoader._schemes[''].__module__ == 'leopart_mm.checkpoints.safe_reading'
print('registry:', leopart_mm.registry.MODELS.scope)
""")
    assert done.stdout == 'registry: leopart_mm\n', done.stderr[-2000:]


@pytest.mark.parametrize('module', ['leopart_mm.registry', 'leopart_mm.files', 'leopart_mm.progress'])
def test_any_module_may_be_the_first(module):
    done = python('-c', f"import {module}, sys, mmengine; assert 'mmcv._ext' in sys.modules")
    assert done.returncode == 0, done.stderr[-2000:]


def test_choices_of_tools_are_those_of_the_library():
    import runpy

    from leopart_mm.apis import community_search, table5
    from leopart_mm.checkpoints.conversion import TARGETS

    def constants(tool):
        return runpy.run_path(str(REPO / 'tools' / tool))

    assert constants('convert_checkpoint.py')['LAYOUTS'] == tuple(TARGETS)
    assert constants('search_communities.py')['CRITERIA'] == community_search.CRITERIA
    assert constants('reproduce_table5.py')['PROTOCOLS'] == table5.PROTOCOLS
    assert constants('reproduce_table5.py')['ROWS'] == tuple(row.name for row in table5.ROWS)
