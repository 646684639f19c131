"""What is seen of files that are not what they should be, or whose names are written in another way."""

import unicodedata

import pytest

from mmimg2vec.utils.mistaken_files import kind_of, written_otherwise


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n', 'pointer of Git LFS'),
        (b'/annex/objects/SHA256E-s12345--4d7a.json\n', 'pointer of git-annex'),
        (b'\xef\xbb\xbf\n<!DOCTYPE html><html>', 'web page'),
        (b'\x1f\x8b\x08', 'compressed'),
        (b'PK\x03\x04\x14', 'compressed'),
        (b' \n', 'empty'),
    ],
)
def test_kinds(data, expected):
    assert expected in kind_of(data)


@pytest.mark.parametrize('data', [b'{"images": []}', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n', b'\x80\x02}', b'\0' * 20])
def test_nothing_is_seen(data):
    assert kind_of(data) is None


def test_names_in_another_way(tmp_path):
    (tmp_path / 'train').mkdir()
    accent = unicodedata.normalize('NFC', 'é')
    for name in ('a b.jpg', 'c.JPG', '007_label.png', f'{accent}.png'):
        (tmp_path / 'train' / name).touch()
    root = f'{tmp_path}/train'
    for missing, name in [
        ('a%20b.jpg', 'a b.jpg'),
        ('train\\a b.jpg', 'a b.jpg'),
        ('train/a%20b.jpg', 'a b.jpg'),
        ('train2017/a b.jpg', 'a b.jpg'),
        ('c.jpg', 'c.JPG'),
        ('007.png', '007_label.png'),
        (unicodedata.normalize('NFD', f'{accent}.png'), f'{accent}.png'),
    ]:
        assert written_otherwise(f'{root}/{missing}') == f'{root}/{name}', missing
    assert written_otherwise(f'{root}/other.jpg') is None
