"""Text files that list samples, a line each."""

from __future__ import annotations

from pathlib import Path

from mmimg2vec.errors import UserError


def check_list(path: str | Path, with_label: bool, config_key: str) -> None:
    """Check each line of a list of samples.

    Args:
        path: The file; other than text files are left alone.
        with_label: Lines are ``NAME LABEL``, as mmpretrain has them, LABEL a number from 0; otherwise ``NAME``.
        config_key: Where the dataset stands in the config, for the message.

    Raises:
        UserError: A line is something else; names file, line and cure.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8').split('\n')
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
    if not with_label:
        return None
    name, _, label = line.rpartition(' ')
    if not name:
        how = 'has a tab where a space is expected' if '\t' in line else 'has no label'
        return (
            f'{line!r} {how}: write "NAME LABEL" with one space and a number from 0, or set with_label=False for '
            'images without labels'
        )
    if not label.isdigit():
        return f'the label {label!r} is no number from 0: write the index of the class'
    return None
