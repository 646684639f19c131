"""A file has its name when it is whole and on the disk, or keeps what it was."""

import json
import os

import pytest
import torch

from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import move_into_place, save_atomically, write_atomically, write_json, write_text


def test_files_are_written_and_nothing_is_left_beside(tmp_path):
    write_text(tmp_path / 'a.txt', 'ä')
    write_json(tmp_path / 'b.json', {'x': [1]})
    save_atomically({'w': torch.ones(2)}, tmp_path / 'c.pth')
    assert (tmp_path / 'a.txt').read_bytes() == b'\xc3\xa4'
    assert json.loads((tmp_path / 'b.json').read_text()) == {'x': [1]}
    assert torch.equal(torch.load(tmp_path / 'c.pth', weights_only=True)['w'], torch.ones(2))
    assert sorted(os.listdir(tmp_path)) == ['a.txt', 'b.json', 'c.pth']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_file(tmp_path, error):
    write_text(tmp_path / 'a.txt', 'old')

    def die(part):
        part.write_text('ne')
        raise error

    with pytest.raises(error):
        write_atomically(tmp_path / 'a.txt', die)
    assert (tmp_path / 'a.txt').read_text() == 'old' and os.listdir(tmp_path) == ['a.txt']


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    steps = []
    synced, replaced = os.fsync, os.replace

    def fsync(descriptor):
        steps.append(os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}')))
        synced(descriptor)

    def replace(part, path):
        steps.append(f'{os.path.basename(part)} -> {os.path.basename(path)}')
        replaced(part, path)

    monkeypatch.setattr(os, 'fsync', fsync)
    monkeypatch.setattr(os, 'replace', replace)
    (tmp_path / 'x.part').write_text('new')
    move_into_place(tmp_path / 'x.part', tmp_path / 'x')
    assert steps == ['x.part', 'x.part -> x', tmp_path.name]
    assert (tmp_path / 'x').read_text() == 'new'


def test_a_full_disk_is_one_line_with_the_file(tmp_path):
    """``/dev/full`` says that there is no room, to Python as an OSError and to torch's writer as a RuntimeError."""
    part = tmp_path / 'a.part'
    for write in (lambda path: write_text(path, 'x' * 99), lambda path: save_atomically(torch.ones(99), path)):
        part.symlink_to('/dev/full')
        with pytest.raises(UserError, match=r'/a cannot be written \(.*\): make room there'):
            write(tmp_path / 'a')
    assert not os.listdir(tmp_path)
    with pytest.raises(UserError, match='cannot be written'):
        write_text('/dev/null/a', 'x')
