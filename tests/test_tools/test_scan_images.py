"""The search for broken images."""

import cv2
import numpy as np
import pytest
from tool_scripts import load_tool

from mmimg2vec.errors import UserError

scan = load_tool('scan_images').scan


def test_each_broken_image_is_one_line(tmp_path, capsys):
    for name in ('a.jpg', 'deep/b.png', 'c.JPEG'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    assert scan(tmp_path, 1) == 0
    (tmp_path / 'd.gif').write_bytes(b'GIF')
    (tmp_path / 'new\nline.png').write_bytes(b'')
    (tmp_path / 'a.jpg').write_bytes((tmp_path / 'a.jpg').read_bytes()[:-30])
    assert scan(tmp_path, 2) == 2
    said = capsys.readouterr()
    assert said.out.splitlines() == [f'{tmp_path}/a.jpg\tcut short', rf'{tmp_path}/new\nline.png' + '\tempty file']
    assert '4 images found' in said.err and 'left out: 1 *.gif' in said.err and '4 of 4 read, 2 broken' in said.err


def test_folders_without_images(tmp_path):
    with pytest.raises(UserError, match=r'no folder'):
        scan(tmp_path / 'none', 1)
    with pytest.raises(UserError, match=r'no images in'):
        scan(tmp_path, 1)
