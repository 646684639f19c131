"""Lists that several processes write, on disks that may be full."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from mmimg2vec.utils.json_lines import JsonLines, read_json_lines


def append_all(path):
    lines = JsonLines(path, key='image')
    for number in range(40):
        lines.append({'image': f'{number}.png', 'reason': 'empty file'})


def test_each_is_named_once_by_whichever_process_meets_it_first(tmp_path):
    path = tmp_path / 'list.jsonl'
    with ProcessPoolExecutor(3, mp_context=get_context('fork')) as pool:
        list(pool.map(append_all, [path] * 3))
    assert sorted(record['image'] for record in read_json_lines(path)) == sorted(f'{n}.png' for n in range(40))
    assert len(path.read_text().splitlines()) == 40


def test_the_same_record_twice_where_nothing_names_it(tmp_path):
    for _ in range(2):
        JsonLines(tmp_path / 'list.jsonl').append({'iter': 1})
    assert read_json_lines(tmp_path / 'list.jsonl') == [{'iter': 1}] * 2


@pytest.mark.parametrize(
    'cut', [b'{"image": "a.p', b'{"image": "a.png", "reason": "x"}', b'12\n', b'[1]\n', b'\xff\xfe']
)
def test_a_line_that_a_full_disk_has_cut(tmp_path, cut):
    path = tmp_path / 'list.jsonl'
    lines = JsonLines(path, key='image')
    lines.append({'image': 'first.png'})
    path.write_bytes(path.read_bytes() + cut)
    for _ in range(2):
        lines.append({'image': 'last.png'})
    found = [record['image'] for record in read_json_lines(path)]
    assert [name for name in found if name != 'a.png'] == ['first.png', 'last.png']


def test_a_file_that_is_begun_anew(tmp_path):
    path = tmp_path / 'list.jsonl'
    lines = JsonLines(path, key='image')
    for _ in range(2):
        lines.append({'image': 'a.png'})
        assert json.loads(path.read_text()) == {'image': 'a.png'}
        path.unlink()


def test_what_cannot_be_written_is_logged(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr('mmimg2vec.utils.json_lines.print_log', lambda line, *_: logged.append(line))
    JsonLines(tmp_path / 'nowhere/list.jsonl').append({'image': 'a.png'})
    JsonLines('/dev/full').append({'image': 'b.png'})
    assert len(logged) == 2 and "it lacks: {'image': 'b.png'}" in logged[1]
    assert read_json_lines(tmp_path / 'nowhere/list.jsonl') == []
