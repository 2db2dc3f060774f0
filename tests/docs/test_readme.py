"""The commands of the READMEs and of the tools' docstrings are commands of today: files, flags, options and links."""

import ast
import re
import runpy
import shlex
import sys
from argparse import ArgumentParser
from fnmatch import fnmatch

import pytest

import leopart_mm.engine.config
from leopart_mm.apis.maskdistill_settings import load_chain
from leopart_mm.engine.config import load_config
from tests.paths import REPO

READMES = [REPO / 'README.md', REPO / 'docs/measured.md', REPO / 'docs/speed.md',
           *sorted((REPO / 'configs').rglob('README.md'))]
PAGES = sorted({*READMES, REPO / 'CHANGELOG.md', *(REPO / 'docs').rglob('*.md')})
TOOLS = [path for path in sorted((REPO / 'tools').rglob('*.py')) if 'ArgumentParser' in path.read_text()]
PLACEHOLDERS = {'CONFIG', 'THIS_FILE'}  # of config files; README.md has none
SCRIPTS = {'dist_train.sh': ('train.py', 2), 'dist_test.sh': ('test.py', 3)}  # the tool, number of own arguments


def name_of(path):
    return str(path.relative_to(REPO))


def blocks(path):
    """Shell code of a page, or of the docstring of a tool."""
    if path.suffix == '.md':
        return re.findall(r'```(?:bash|shell)\n(.*?)```', path.read_text(), re.DOTALL)
    return re.findall(r'^ {4}(?:python|bash) .*(?:\\\n.*)*$', ast.get_docstring(ast.parse(path.read_text())) or '',
                      re.MULTILINE)


def commands(path):
    """The commands of a page as lists of words, without comments."""
    lines = '\n'.join(blocks(path)).replace('\\\n', ' ').splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


CASES = [pytest.param(path, words, id=f'{name_of(path)}: {" ".join(words)}'[:120])
         for path in [*READMES, *TOOLS] for words in commands(path)]


class ParserFoundError(Exception):
    """Ends a tool when its parser is complete."""


def parser_of(tool, monkeypatch):
    """Run a tool until it would parse its arguments; returns its parser."""
    def stop(self, *args, **kwargs):
        raise ParserFoundError(self)

    with monkeypatch.context() as patch:
        patch.setattr(ArgumentParser, 'parse_args', stop)
        patch.setattr(sys, 'argv', [str(tool)])
        with pytest.raises(ParserFoundError) as found:
            runpy.run_path(str(tool), run_name='__main__')
    return found.value.args[0]


@pytest.mark.parametrize(('path', 'words'), CASES)
def test_a_command_is_understood(path, words, monkeypatch):
    monkeypatch.chdir(REPO)
    program, *arguments = words
    if program == 'make':
        assert f'\n{arguments[0]}:' in (REPO / 'Makefile').read_text()
        return
    if program == 'pip':
        for extra in re.findall(r'\[(.*)]', arguments[-1])[0].split(','):
            assert f"'{extra}': [" in (REPO / 'setup.py').read_text()
        return
    if arguments[:2] == ['-m', 'leopart_mm.doctor']:
        assert (REPO / 'leopart_mm/doctor.py').is_file()
        return
    assert program in ('python', 'bash')
    tool, arguments = REPO / arguments[0], arguments[1:]
    if tool.name in SCRIPTS:
        name, count = SCRIPTS[tool.name]
        tool, arguments = tool.with_name(name), [arguments[0], *arguments[count:]]
    given = parser_of(tool, monkeypatch).parse_args(arguments)
    config = getattr(given, 'config', None)
    if config is None or config in PLACEHOLDERS:
        assert config is None or path.name != 'README.md' or path.parent != REPO
        return
    warnings = []
    monkeypatch.setattr(leopart_mm.engine.config, 'print_log',
                        lambda message, logger=None, level=0: warnings.append(message) if level > 20 else None)
    assert (REPO / config).is_file(), config
    (load_chain if tool.name == 'maskdistill.py' else load_config)(config, given.cfg_options)
    assert not warnings


def test_flags_in_the_text_exist(monkeypatch):
    flags = {flag for tool in TOOLS for flag in parser_of(tool, monkeypatch)._option_string_actions}
    for path in READMES:
        for flag in re.findall(r'`[^`\n]*?(--[a-z][a-z-]*)[^`\n]*`', path.read_text()):
            assert flag in flags, f'{name_of(path)}: {flag}'


@pytest.mark.parametrize('path', PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    for target in re.findall(r'\]\(([^)\s]+)\)', path.read_text()):
        if re.match(r'https?:', target):
            continue
        file, _, section = target.partition('#')
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        if section:
            titles = re.findall(r'^#+ (.*)$', linked.read_text(), re.MULTILINE)
            assert section in {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}, target


@pytest.mark.parametrize('path', READMES, ids=name_of)
def test_files_named_in_the_text_exist(path):
    """`configs/...`, `tools/...` and so on, from the top or from the page's folder; * and <name> stand for any name."""
    files = [name_of(file) for folder in ('configs', 'tools', 'docs', 'leopart_mm', 'tests')
             for file in (REPO / folder).rglob('*')]
    for word in re.findall(r'`((?:configs|tools|docs|leopart_mm|tests)/[^\s`]*)`', path.read_text()):
        pattern = re.sub(r'<[^>]*>|\*', '*', word).rstrip('/')
        assert any(fnmatch(file, pattern) for file in files), f'{name_of(path)}: {word}'


def test_tests_that_a_page_names_are_there():
    page = (REPO / 'configs' / 'maskdistill' / 'README.md').read_text().partition('## Degenerate input')[2]
    rows = [line.split('|')[-2] for line in page.splitlines() if line.startswith('| ')][1:]
    named = [re.findall(r'`(\w+)`', row) for row in rows]
    written = set(re.findall(r'^def test_(\w+)', '\n'.join(
        path.read_text() for path in (REPO / 'tests').rglob('test_*.py')), re.MULTILINE))
    assert len(named) > 10
    assert all(named)
    assert {name for names in named for name in names} <= written
