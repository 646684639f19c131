"""What the main process finds before training ends all processes alike; none is left waiting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import downstream

SCRIPT = Path(__file__).parents[1] / 'helpers' / 'train_downstream.py'


def test_two_processes_end_alike(tmp_path):
    shapes = downstream.small_shapes(tmp_path)
    deeper = dict(arch={**downstream.ARCH, 'num_layers': 3})
    files = [
        downstream.pretrained(tmp_path / 'deeper.pth', **deeper),
        downstream.pretrained(tmp_path / 'good.pth'),
    ]
    launcher = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command = [sys.executable, *launcher, str(SCRIPT), str(shapes), str(tmp_path), *map(str, files)]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    environment['PYTHONPATH'] = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    first, second = (json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2))
    assert first == second and first[1] is None
    assert 'deeper.pth has more layers than model.backbone' in first[0]
    (log,) = (tmp_path / 'good').glob('*/*.log')
    assert log.read_text().count('tensors filled from') == 1
