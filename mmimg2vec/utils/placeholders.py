"""Environment variables in configs, ``'{{$NAME:default}}'``, as values that cannot become code.

mmengine puts what a variable holds into the text of the config, which is Python: an apostrophe ends the string that it
stands in, and what follows is executed. Here such a value is replaced by a word of letters while the text is read, and
put into the strings that were read afterwards.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

_NAMES = re.compile(r'\{\{[\'"]?\s*\$(\w+)\s*:\s*(\S*?)\s*[\'"]?\}\}')
# Without quotes, backslashes, brackets and line ends nothing can leave a string, or call anything outside of one.
_HARMLESS = re.compile(r'[\w./:@%+=,~ -]*')
_WORD = 'mmimg2vecvalue{}of'

_seen: dict[str, str] = {}


@contextlib.contextmanager
def values_as_values() -> Iterator[dict[str, str]]:
    """Let mmengine read configs without putting odd values into their text.

    Yields:
        Word in the text -> value, filled while configs are read; see :func:`put_back`.
    """
    original = Config._substitute_env_variables
    words: dict[str, str] = {}

    def substitute(filename: str, *args: Any, **kwargs: Any) -> Any:
        hidden = {}
        for name, default in _NAMES.findall(Path(filename).read_text(encoding='utf-8')):
            value = os.environ.get(name)
            _seen[name] = default if value is None else value
            if value is not None and not _HARMLESS.fullmatch(value):
                hidden[name] = value
        for name, value in hidden.items():
            os.environ[name] = _WORD.format(len(words)) + name
            words[os.environ[name]] = value
        try:
            return original(filename, *args, **kwargs)
        finally:
            os.environ.update(hidden)

    Config._substitute_env_variables = staticmethod(substitute)
    try:
        yield words
    finally:
        Config._substitute_env_variables = staticmethod(original)


def put_back(node: Any, words: dict[str, str]) -> Any:
    """Replace the words in all strings of a config by the values that they stand for."""
    if isinstance(node, dict):
        for key in node:
            node[key] = put_back(node[key], words)
    elif isinstance(node, list | tuple):
        return type(node)(put_back(item, words) for item in node)
    elif isinstance(node, str):
        for word, value in words.items():
            node = node.replace(word, value)
    return node


def variable_of(message: str) -> str | None:
    """The variable of the configs read so far whose value, such as a folder, a message names; None where none does."""
    fitting = [name for name, value in _seen.items() if len(value) > 3 and value in message]
    return max(fitting, key=lambda name: len(_seen[name]), default=None)
