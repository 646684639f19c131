"""Image files as they come: odd ones load, broken ones are named, each once, and no good one is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import odd_images
import pytest

from mmimg2vec.datasets.image_files import read_list, unreadable
from mmimg2vec.datasets.reading import read_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('name', odd_images.GOOD)
def test_odd_and_good(name, tmp_path):
    (tmp_path / name).write_bytes(odd_images.GOOD[name])
    image = read_image(tmp_path / name)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if name.startswith('orientation_'):
        sideways = int(name[12]) >= 5
        assert image.shape[:2] == (odd_images.SIZE if sideways else odd_images.SIZE[::-1])
    if image.shape[:2] == odd_images.SIZE[::-1]:
        assert image.std() > 20  # neither black nor gray


@pytest.mark.parametrize('name', odd_images.BROKEN)
def test_broken(name, tmp_path):
    (tmp_path / name).write_bytes(odd_images.BROKEN[name])
    assert unreadable(tmp_path / name)


@pytest.mark.parametrize('kind', ['a link to nowhere', 'a folder', 'no permission'])
def test_what_is_no_file(tmp_path, kind):
    path = tmp_path / 'a.jpg'
    if kind == 'a link to nowhere':
        path.symlink_to(tmp_path / 'gone.jpg')
    elif kind == 'a folder':
        path.mkdir()
    else:
        path.write_bytes(odd_images.JPEG)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip('root reads everything')
    assert unreadable(path)


def test_a_scan_names_the_broken_ones_each_once(tmp_path):
    odd_images.write(tmp_path, odd_images.GOOD | odd_images.BROKEN)
    command = [sys.executable, str(ROOT / 'tools/scan_images.py'), str(tmp_path), '--jobs', '2']
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    named = [line.split('\t')[0] for line in result.stdout.splitlines()]
    assert sorted(named) == sorted(str(tmp_path / name.replace('\n', '\\n')) for name in odd_images.BROKEN)
    assert result.returncode == 1


def test_five_percent_of_a_training_run(tmp_path):
    """The run ends, all broken images are listed once, none of the good is; two workers, two epochs."""
    import toy

    from mmimg2vec.errors import UserError

    broken = list(odd_images.BROKEN.items())[:20]
    good = {f'good_{number:03d}.png': odd_images.PNG for number in range(380)}
    odd_images.write(tmp_path / 'images', {**good, **dict(broken)})
    loader = {**toy.train_dataloader(tmp_path / 'images'), 'num_workers': 2, 'batch_size': 8}
    hook = dict(type='mmimg2vec.UnreadableImagesHook', interval=10_000)
    run = toy.runner_of(tmp_path / 'images', tmp_path / 'run', hooks=[hook], train_dataloader=loader, epochs=2)
    with pytest.raises(UserError, match=r'20 of 400 images are unreadable, more than max_share=0\.01'):
        run.train()
    path = tmp_path / 'run/unreadable_images.jsonl'
    lines = [json.loads(line)['image'] for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(str(tmp_path / 'images' / name) for name, _ in broken)
    assert set(read_list(path)) == set(lines)


@pytest.mark.parametrize('array', [np.array([['a', 'b']]), np.zeros((0, 4)), np.zeros(5), np.zeros((2, 2, 2, 2)), {}])
def test_arrays_that_are_no_images(array, tmp_path):
    with open(tmp_path / 'a.npy', 'wb') as file:
        np.savez(file, a=np.zeros((4, 4))) if isinstance(array, dict) else np.save(file, array)
    assert unreadable(tmp_path / 'a.npy') == 'not decodable as an image'
