"""The newest checkpoint that is whole: what counts, what is left out, and how it is told."""

import hashlib

import pytest
import torch

from mmimg2vec.checkpoint.newest import checksum_path, newest_checkpoint, write_checksum
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
    assert checksum_path(path).read_text() == f'{hashlib.sha256(path.read_bytes()).hexdigest()}  iter_3.pth\n'


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
