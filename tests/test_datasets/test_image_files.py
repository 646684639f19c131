"""Which images are meant by files and folders, and what their pictures are called."""

import cv2
import numpy as np
import pytest

from mmimg2vec.datasets.image_files import find_images, unreadable
from mmimg2vec.errors import UserError


@pytest.fixture
def folder(tmp_path):
    for name in ('b.jpg', 'a.PNG', 'deep/a.webp', 'deep/er/a.tif', 'deep_a.png', 'notes.txt', 'out/old.png'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')
    (tmp_path / 'images' / 'folder.jpg').mkdir()
    return tmp_path / 'images'


def relative(found, folder):
    return {path.relative_to(folder).as_posix(): name for path, name in found.items()}


def test_folders_are_sorted_and_names_differ(folder):
    found = relative(find_images([folder], folder / 'out'), folder)
    assert list(found.items()) == [
        ('a.PNG', 'a'),
        ('b.jpg', 'b'),
        ('deep/a.webp', 'deep_a'),
        ('deep/er/a.tif', 'deep_er_a'),
        ('deep_a.png', 'deep_a_2'),
    ]


def test_images_count_once_in_the_order_given(folder):
    sources = [folder / 'b.jpg', str(folder / 'deep'), folder / 'deep' / 'er' / 'a.tif', folder / 'notes.txt']
    found = relative(find_images(sources, folder / 'out'), folder)
    assert list(found.items()) == [
        ('b.jpg', 'b'),
        ('deep/a.webp', 'a'),
        ('deep/er/a.tif', 'er_a'),
        ('notes.txt', 'notes'),
    ]
    third = folder / 'deep' / 'a.jpg'
    third.write_bytes(b'x')
    same = find_images([folder / 'a.PNG', third, folder / 'deep' / 'er'], folder / 'out')
    assert list(same.values()) == ['a', 'a_2', 'a_3']


def test_mistakes_are_named(folder):
    out = folder / 'out'
    with pytest.raises(UserError, match=r'no image or folder .*gone: check the path'):
        find_images([folder / 'gone'], out)
    (folder / 'empty').mkdir()
    with pytest.raises(UserError, match=r'no images in .*empty: files named \*.jpg, .*\*.webp are taken'):
        find_images([folder / 'empty'], out)
    with pytest.raises(UserError, match='no images: name image files or folders'):
        find_images([], out)
    with pytest.raises(UserError, match='holds the images themselves: name another folder for --out'):
        find_images([folder / 'deep_a.png'], folder)
    # Into the folder of the images itself, where no picture would replace an image.
    assert find_images([folder / 'deep'], folder / 'deep')


def test_why_an_image_cannot_be_read(tmp_path):
    path = tmp_path / 'a.jpg'
    assert unreadable(path) == 'missing'
    path.write_bytes(b'')
    assert unreadable(path) == 'empty file'
    path.write_bytes(b'no image')
    assert unreadable(path) == 'not decodable as an image'
    cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))
    assert unreadable(path) is None
    path.write_bytes(path.read_bytes()[:-100])
    assert unreadable(path) == 'cut short'
