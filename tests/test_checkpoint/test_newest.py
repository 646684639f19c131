"""The newest checkpoint that is whole: what counts, what is left out, and how it is told."""

import hashlib
import shutil
import subprocess

import pytest
import torch

from mmimg2vec.checkpoint import newest
from mmimg2vec.checkpoint.newest import checksum_path, newest_checkpoint, write_checksum
from mmimg2vec.checkpoint.safe_load import safe_load
from mmimg2vec.errors import UserError


def save(folder, name, steps):
    torch.save({'meta': {'iter': steps}, 'state_dict': {}}, folder / name)
    return folder / name


def test_the_furthest_in_training_counts_not_the_name(tmp_path):
    save(tmp_path, 'iter_100.pth', 100)
    furthest = save(tmp_path, 'epoch_9.pth', 250)
    for other in ('backbone.pth', 'best_accuracy_iter_999.pth', 'epoch_1.pth.part', 'epoch_x.pth'):
        save(tmp_path, other, 999)
    (tmp_path / 'last_checkpoint').write_text('iter_100.pth')
    assert newest_checkpoint(tmp_path) == furthest


def test_nothing_there(tmp_path):
    save(tmp_path, 'backbone.pth', 3)
    assert newest_checkpoint(tmp_path) is None


def test_checksums_are_as_sha256sum_reads_them(tmp_path):
    path = save(tmp_path, 'iter_3.pth', 3)
    write_checksum(path)
    assert checksum_path(path).name == 'iter_3.pth.sha256'
    line = f'{hashlib.sha256(path.read_bytes()).hexdigest()}  iter_3.pth\n'
    assert checksum_path(path).read_text() == line
    write_checksum(path, 3)
    assert checksum_path(path).read_text() == f'{line}# steps 3\n'
    if shutil.which('sha256sum'):
        command = ['sha256sum', '--check', '--strict', '--quiet', 'iter_3.pth.sha256']
        assert subprocess.run(command, cwd=tmp_path).returncode == 0


def test_only_the_newest_is_read(tmp_path, monkeypatch):
    """A folder may hold many checkpoints, of gigabytes each; the next is read where one is not whole."""
    paths = [save(tmp_path, f'iter_{steps}.pth', steps) for steps in range(8, 12)]
    for path, steps in zip(paths, range(8, 12), strict=True):
        write_checksum(path, steps)
    read = []
    monkeypatch.setattr(newest, 'safe_load', lambda path, where: read.append(path) or safe_load(path, where))
    assert newest_checkpoint(tmp_path) == paths[-1] and read == paths[-1:]
    paths[-1].write_bytes(paths[-1].read_bytes()[:-9])
    lines = []
    assert newest_checkpoint(tmp_path, lines.append) == paths[-2] and read == [paths[-1], paths[-2]]
    assert len(lines) == 1 and 'iter_11.pth has other bytes' in lines[0]
    write_checksum(paths[0], 99)  # a list of another file
    assert newest_checkpoint(tmp_path, lines.append) == paths[-2]
    assert 'iter_8.pth has other steps behind it than iter_8.pth.sha256 says' in lines[1]


@pytest.mark.parametrize('damage', ['other bytes', 'cut', 'no steps', 'steps of another type'])
def test_one_that_is_not_whole_is_left_out_and_named(tmp_path, damage):
    good, bad = save(tmp_path, 'iter_1.pth', 1), save(tmp_path, 'iter_2.pth', 2)
    write_checksum(good)
    if damage == 'other bytes':
        write_checksum(bad)
        save(tmp_path, 'iter_2.pth', 3)
    elif damage == 'cut':
        bad.write_bytes(bad.read_bytes()[:-50])
    else:
        torch.save({'meta': {} if damage == 'no steps' else {'iter': '2'}}, bad)
    lines = []
    assert newest_checkpoint(tmp_path, lines.append) == good
    assert len(lines) == 1 and str(bad) in lines[0] and lines[0].endswith(': it is left out')
    good.unlink()
    with pytest.raises(UserError, match=rf'none of the 1 checkpoints in {tmp_path} is whole \(.*iter_2.pth'):
        newest_checkpoint(tmp_path)
