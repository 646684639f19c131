"""What README and the documentation name exists: links, files, options, commands, error messages."""

import ast
import importlib
import itertools
import os
import pkgutil
import re
import shlex
import sys
from argparse import ArgumentParser

import pytest
from mmengine.registry import DefaultScope, Registry
from pages import PAGES, READMES, ROOT, anchors, blocks, commands, name_of
from tool_scripts import load_tool

import mmimg2vec
from mmimg2vec import registry
from mmimg2vec.errors import UserError

each_page = pytest.mark.parametrize('page', PAGES, ids=name_of)


class Parsed(Exception):
    """A command line is good."""


def test_readme_is_short():
    assert len((ROOT / 'README.md').read_text(encoding='utf-8').split()) <= 1300


@pytest.mark.parametrize('page', [*PAGES, *READMES], ids=name_of)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if re.match(r'https?://', target):
            continue
        file, _, anchor = target.partition('#')
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f'{target} leads nowhere'
        if anchor:
            assert anchor in anchors(path.read_text(encoding='utf-8')), f'{target}: no such heading'


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / 'docs' / 'index.md').read_text(encoding='utf-8')
    listed = {line for block in blocks(index, r'\{toctree\}') for line in block.splitlines() if line and line[0] != ':'}
    pages = {path.relative_to(ROOT / 'docs').with_suffix('').as_posix() for path in (ROOT / 'docs').glob('*.md')}
    assert listed == (pages - {'index'}) | {'api/index'}


def test_every_package_has_an_api_page():
    pages = '\n'.join(page.read_text(encoding='utf-8') for page in (ROOT / 'docs' / 'api').glob('*.rst'))
    documented = set(re.findall(r'^\.\. package:: mmimg2vec\.(\w+)$', pages, re.MULTILINE))
    assert documented == {module.name for module in pkgutil.iter_modules(mmimg2vec.__path__)}


# A path in one of these folders that a page names; `{a,b}` are several, `*` and capital words stand for anything.
PATH = re.compile(r'(?<![\w/.])((?:configs|tools|tests|docs|requirements|mmimg2vec|\.dev_scripts|\.ci)/[\w./*{},\-]*)')


@each_page
def test_named_files_exist(page):
    # What is added by following CONTRIBUTING has names in capitals.
    for found in PATH.findall(page.read_text(encoding='utf-8')):
        path = found.rstrip('.,')
        if re.search(r'(?<![A-Z])[A-Z]{3,}(?!ME)', path.replace('README', '')):
            continue
        for one in expand(path):
            assert list(ROOT.glob(one.rstrip('/'))), f'{one} does not exist'


def expand(path):
    """``a/{b,c}.py`` as ``a/b.py`` and ``a/c.py``."""
    parts = re.split(r'\{([^{}]*)\}', path)
    choices = [part.split(',') if index % 2 else [part] for index, part in enumerate(parts)]
    return [''.join(words) for words in itertools.product(*choices)]


@each_page
def test_configs_in_tables_exist(page):
    # "config in `configs/X/`" heads a column of file names.
    text = page.read_text(encoding='utf-8')
    for folder, rows in re.findall(r'^\| config in `(\S+)` .*\n\|[-|: ]+\n((?:\|.*\n)+)', text, re.MULTILINE):
        names = [name for row in rows.splitlines() for name in re.findall(r'`([\w.\-]+\.py)`', row.split('|')[1])]
        assert names
        for name in names:
            assert (ROOT / folder / name).is_file(), f'{folder}{name} does not exist'


def test_named_variables_are_read():
    def named(paths):
        return {
            word for path in paths for word in re.findall(r'(?:MM)?IMG2VEC_[A-Z0-9]+', path.read_text(encoding='utf-8'))
        }

    assert named(PAGES) <= named([*(ROOT / 'configs').rglob('*.py'), *(ROOT / 'mmimg2vec').rglob('*.py')])


@each_page
def test_named_parts_exist(page):
    for name in set(re.findall(r'mmimg2vec\.([A-Za-z_][\w.]*)', page.read_text(encoding='utf-8'))):
        name = name.rstrip('.')
        if '.' not in name and name[0].isupper():
            registries = [value for value in vars(registry).values() if isinstance(value, Registry)]
            with DefaultScope.overwrite_default_scope('mmimg2vec'):
                assert any(one.get(name) for one in registries), f'no part mmimg2vec.{name}'
        else:
            assert resolves(f'mmimg2vec.{name}'), f'no mmimg2vec.{name}'


def resolves(name):
    """Whether a dotted name is a module, or something in one."""
    parts = name.split('.')
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module('.'.join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@each_page
def test_make_targets_exist(page):
    targets = set(re.findall(r'^([a-z\-]+):', (ROOT / 'Makefile').read_text(encoding='utf-8'), re.MULTILINE))
    text = page.read_text(encoding='utf-8')
    named = set(re.findall(r'`make ([a-z\-]+)', text)) | set(re.findall(r'^make ([a-z\-]+)', text, re.MULTILINE))
    assert named <= targets


LAUNCH = {'dist_train.sh': 'train', 'dist_test.sh': 'test', 'slurm_train.sh': 'train'}


def tool_call(command):
    """Name and arguments of the Python tool that a command starts at last, or None."""
    words = [word for word in shlex.split(command) if not re.match(r'[A-Z_0-9]+=', word)]
    if len(words) < 2 or words[0] not in ('python', 'bash') or not words[1].startswith('tools/'):
        return None
    name, arguments = words[1].removeprefix('tools/'), words[2:]
    if words[0] == 'python':
        return name.removesuffix('.py'), arguments
    if name == 'slurm_train.sh':
        arguments = [*arguments[2:3], '--work-dir', arguments[3], *arguments[4:]]
    else:
        processes = 1 if name == 'dist_train.sh' else 2
        assert arguments[processes].isdigit(), f'{command}: the number of processes stands at another place'
        arguments = arguments[:processes] + arguments[processes + 1 :]
    return LAUNCH[name], [*arguments, '--launcher', 'pytorch' if 'dist' in name else 'slurm']


@each_page
def test_commands_are_understood(page, monkeypatch):
    parse = ArgumentParser.parse_args

    def parse_only(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Parsed

    monkeypatch.setattr(ArgumentParser, 'parse_args', parse_only)
    for command in commands(page.read_text(encoding='utf-8')):
        call = tool_call(command)
        if call is None:
            assert not re.match(r'(python|bash) (?!-)(?!tools/)', command), f'{command}: what does it start?'
            continue
        monkeypatch.setattr(sys, 'argv', [call[0], *call[1]])
        # The parsers leave variables for torchrun behind.
        with monkeypatch.context() as inner, pytest.raises(Parsed):
            inner.setattr(os, 'environ', os.environ.copy())
            try:
                load_tool(call[0]).main()
            except (SystemExit, UserError) as error:
                pytest.fail(f'{command}: {error}')


def message(node):
    """A message's text as a pattern: what is put in at run time is ``…``."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return ''.join(map(message, node.values))
    return '…'


def test_messages_in_the_faq_are_those_of_the_code():
    sources = [*(ROOT / 'mmimg2vec').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]
    trees = [ast.parse(path.read_text(encoding='utf-8')) for path in sources]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]
    said = {message(node) for node in nodes}
    quoted = re.findall(r'^### `(.+)`$', (ROOT / 'docs' / 'faq.md').read_text(encoding='utf-8'), re.MULTILINE)
    assert len(quoted) > 40
    for text in quoted:
        pattern = re.compile('.*'.join(map(re.escape, text.split('…'))))
        assert any(pattern.search(one) for one in said), f'no error says {text!r}'
