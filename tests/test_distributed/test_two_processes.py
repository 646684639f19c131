import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmimg2vec.datasets.shards.writing import ShardOptions, make_shards

SCRIPT = Path(__file__).parents[1] / 'helpers' / 'train_and_record.py'


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    generator = np.random.default_rng(0)
    for index in range(19):  # not a multiple of the batch
        noise = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'), cv2.resize(noise, (80, 72)))
    return folder


def train(images, output, processes, *options):
    launcher = [sys.executable]
    if processes > 1:
        launcher += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
    command = [*launcher, str(SCRIPT), str(images), str(output), str(8 // processes)]
    command += ['--cfg-options', *options] if options else []
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    environment['PYTHONPATH'] = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return json.loads(output.read_text())


CASES = {
    # Statistics over the batch are where two processes could differ from one.
    'batch targets': ['model.target_generator.normalization=batch'],
    'four masks, accumulated': [
        'train_dataloader.dataset.dataset.pipeline.3.masks_per_image=4',
        'optim_wrapper.accumulative_counts=2',
    ],
    'shards': ['model.target_generator.normalization=batch'],
    'compiled': [
        'default_hooks.compile.type=mmimg2vec.CompileHook',
        'default_hooks.compile.backend=aot_eager',
        'default_hooks.compile.on_failure=stop',
    ],
}


@pytest.mark.parametrize(('case', 'options'), CASES.items(), ids=CASES)
def test_two_processes_are_one_with_twice_the_batch(images, tmp_path, case, options):
    if case == 'shards':
        make_shards(images, tmp_path / 'shards', ShardOptions(per_shard=7), report=lambda line: None)
        images = tmp_path / 'shards'
    one = train(images, tmp_path / 'one.json', 1, *options)
    two = train(images, tmp_path / 'two.json', 2, *options)
    assert len(one['steps']) == len(two['steps']) == 4
    for alone, together in zip(one['steps'], two['steps'], strict=True):
        for name, value in alone.items():
            assert together[name] == pytest.approx(value, rel=1e-5), name
    assert one['steps'][0] != one['steps'][2]
    assert two['checksum'] == pytest.approx(one['checksum'], rel=1e-6)
