"""Text files that list samples, a line each."""

from __future__ import annotations

from pathlib import Path

from mmimg2vec.errors import UserError
from mmimg2vec.utils.mistaken_files import kind_of

_SEPARATORS = {'\t': 'tab', ',': 'comma', ';': 'semicolon'}


def check_list(path: str | Path, with_label: bool, config_key: str) -> None:
    """Check each line of a list of samples.

    Args:
        path: The file; other than text files are left alone.
        with_label: Lines are ``NAME LABEL``, as mmpretrain has them, LABEL a number from 0; otherwise ``NAME``.
        config_key: Where the dataset stands in the config, for the message.

    Raises:
        UserError: A line is something else; names file, line and cure.
    """
    data = Path(path).read_bytes()
    kind = kind_of(data)
    if kind is not None:
        raise UserError(f'{path} is {kind} (ann_file of {config_key})')
    if data.startswith(b'\xef\xbb\xbf'):
        raise UserError(f'{path} begins with a byte order mark, which would be part of a name: save it as plain UTF-8')
    try:
        lines = data.decode('utf-8').split('\n')
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is no text file in UTF-8 ({error.reason}): convert it') from error
    if lines and not lines[-1]:
        del lines[-1]
    for number, line in enumerate(lines, 1):
        problem = _line_problem(line.strip(), with_label)
        if problem:
            raise UserError(f'{path}, line {number}: {problem} (ann_file of {config_key})')


def _line_problem(line: str, with_label: bool) -> str | None:
    if not line:
        return 'empty: remove the line'
    name, _, label = line.rpartition(' ') if with_label else (line, '', '0')
    if name[:1] == name[-1:] and name[:1] in ('"', "'"):
        return f'{name} stands in quotes, which would be part of the name: remove them'
    if not name:
        found = [what for mark, what in _SEPARATORS.items() if mark in line]
        how = f'has a {found[0]} where a space is expected' if found else 'has no label'
        return (
            f'{line!r} {how}: write "NAME LABEL" with one space and a number from 0, or set with_label=False for '
            'images without labels'
        )
    if name != name.strip():
        return f'{line!r} has more than one space before the label, which would be part of the name: leave one'
    if not (label.isascii() and label.isdigit()):
        return f'the label {label!r} is no number from 0: write the index of the class'
    return None
