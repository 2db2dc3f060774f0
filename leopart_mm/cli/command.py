"""The command `leopart_mm TOOL [arguments]`: the tools of this installation from any folder, without the checkout.

    leopart_mm                                    lists the tools
    leopart_mm segment_folder my/images --fit --out segments
    leopart_mm train configs/leopart/leopart_dino-vits16_folder.py --cfg-options data_root=my/images

Configs are named as in the checkout; those that came with the wheel are found. `python -m leopart_mm.cli` is the same.
"""

import ast
import difflib
import os
import runpy
import subprocess
import sys
from pathlib import Path

from leopart_mm.cli.shipped import shipped_folder

NO_TOOL = 2  # as argparse


def main(argv: list[str] | None = None) -> None:
    """Run the tool that the first argument names with the others.

    Args:
        argv: The arguments; None takes those of the command line.

    Raises:
        SystemExit: When the tool ends; its code is the tool's.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['--help']
    tools = find_tools()
    if name in ('-h', '--help'):
        print(overview(tools))
        sys.exit(0)
    tool = tools.get(name) or tools.get(os.path.splitext(name)[0])
    if tool is None:
        near = difflib.get_close_matches(name, tools, 1)
        print(f'leopart_mm: there is no tool {name}' + (f'; {near[0]} is near.' if near else '.')
              + ' `leopart_mm` alone lists all of them.', file=sys.stderr)
        sys.exit(NO_TOOL)
    if tool.suffix == '.sh':
        sys.exit(subprocess.run(['bash', str(tool), *arguments], check=False).returncode)
    sys.argv = [str(tool), *arguments]
    runpy.run_path(str(tool), run_name='__main__')


def find_tools() -> dict[str, Path]:
    """Tools of this installation by name, those in folders as `folder/name`."""
    folder = shipped_folder('tools')
    files = sorted(file for suffix in ('py', 'sh') for file in folder.rglob(f'*.{suffix}'))
    return {file.relative_to(folder).with_suffix('').as_posix(): file for file in files}


def overview(tools: dict[str, Path]) -> str:
    """All tools, each with the first line of its description."""
    width = max(map(len, tools))
    lines = [f'  {name:{width}}  {summary(file)}'.rstrip() for name, file in tools.items()]
    return '\n'.join(['usage: leopart_mm TOOL [arguments]; leopart_mm TOOL --help explains one.', '', *lines])


def summary(file: Path) -> str:
    """What a tool says about itself in its first line, without the command.

    Args:
        file: A Python file with a docstring, or a shell script with a comment.
    """
    text = file.read_text(encoding='utf-8')
    if file.suffix == '.sh':
        return next((line[1:].strip() for line in text.splitlines()[1:] if line.startswith('#')), '')
    first = (ast.get_docstring(ast.parse(text)) or '').split('\n', 1)[0]
    return first.split(': `python ', 1)[0]
