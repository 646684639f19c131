"""The table of teachers, of made-up rows: its order, its cells, its files."""

import csv
import json
import math

import pytest

from mmimg2vec.errors import UserError
from mmimg2vec.teacher_selection.table import Row, format_table, make_folder, ranked, write_csv, write_json

LOW = Row('low', 22_050_000, 4.6071, 14, 12, 384, 0.25, 0.2, 0.3, 17.26, 1234.56, 88.6, 50, stages={'1': 0.5}, spec='s')
HIGH = Row('high', diversity=0.75, diversity_low=math.nan, diversity_high=math.nan, rows=2, columns=3, width=8)
BROKEN = Row('broken', error='no such file')


def test_highest_diversity_first():
    assert ranked([BROKEN, LOW, HIGH]) == [HIGH, LOW, BROKEN]


def test_cells():
    lines = format_table([LOW, BROKEN, HIGH]).splitlines()
    assert len({len(line) for line in lines}) == 1 and len(lines) == 4
    assert lines[1].startswith('|---------|') and lines[1].endswith('-:|') and lines[1].count(':') == 10
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    assert cells[2] == ['high', '-', '-', '2 x 3', '8', '0.7500', '-', '-', '-', '-', '0']
    assert cells[3] == [
        *('low', '22.05', '4.61', '14 x 12', '384', '0.2500', '0.2000 to 0.3000', '17.3', '1235', '89', '50'),
    ]
    assert lines[3].startswith('| low     |') and lines[3].endswith(' 50 |')
    assert format_table([BROKEN]) == ''


def test_files(tmp_path):
    write_json([LOW, BROKEN, HIGH], dict(images='folder'), tmp_path / 'a.json')
    content = json.loads((tmp_path / 'a.json').read_text())
    assert content['settings'] == {'images': 'folder'}
    high, low, broken = content['teachers']
    assert (high['diversity'], high['diversity_low']) == (0.75, None)
    assert low == {**vars(LOW)} and broken['error'] == 'no such file'
    write_csv([LOW, HIGH], tmp_path / 'a.csv')
    rows = list(csv.DictReader((tmp_path / 'a.csv').open()))
    assert [row['teacher'] for row in rows] == ['high', 'low'] and 'stages' not in rows[0]
    assert (rows[1]['gmac'], rows[0]['diversity_low'], rows[1]['spec']) == ('4.6071', '', 's')


def test_the_folder_of_the_results(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / 'deep' / 'er')
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file.* cannot be made .*: name another for --out'):
        make_folder(tmp_path / 'file' / 'x')
