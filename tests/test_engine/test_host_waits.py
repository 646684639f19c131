"""A step reads nothing from the device: on an accelerator the host would wait for the whole step there."""

import collections
import traceback
from pathlib import Path

import pytest
import torch
import toy
from mmengine.config import Config
from mmengine.hooks import Hook
from torch.utils._python_dispatch import TorchDispatchMode

from mmimg2vec.engine.hooks import finite_guard

ROOT = Path(__file__).resolve().parents[2]
# Reading a number, and whatever has a number of results that depends on values.
READS = {'aten::_local_scalar_dense', 'aten::nonzero', 'aten::masked_select', 'aten::_unique2', 'aten::equal'}
INTERVAL = 4


class Reads(TorchDispatchMode):
    """Notes which lines of Python read from the device."""

    def __init__(self):
        super().__init__()
        self.lines = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        is_mask = any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if function._schema.name == 'aten::index' else ())
        )
        if function._schema.name in READS or is_mask:
            frames = [f for f in traceback.extract_stack()[:-1] if '/torch/' not in f.filename]
            # mmengine's hook reads every value in every step; it stands for what takes its place.
            if any(f.filename.endswith('runtime_info_hook.py') for f in frames):
                return function(*args, **(kwargs or {}))
            place = frames[-1]
            self.lines[f'{Path(place.filename).name}:{place.name}'] += 1
        return function(*args, **(kwargs or {}))


class Watch(Hook):
    """Watches whole steps, hooks included; not those that are logged."""

    priority = 'HIGHEST'

    def __init__(self, reads):
        self.reads, self.steps, self.mode = reads, 0, None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.close()
        # The first steps make the optimizer's state.
        if runner.iter > 1 and (runner.iter + 1) % INTERVAL:
            self.mode, self.steps = self.reads.__enter__(), self.steps + 1

    def close(self):
        if self.mode is not None:
            self.mode = self.reads.__exit__(None, None, None)

    def after_train_epoch(self, runner):
        self.close()


@pytest.mark.parametrize(
    'options', [{}, {'clip_grad': {'max_norm': 0.5}}, {'clip_grad': {'clip_value': 1.0, 'type': 'value'}}]
)
def test_no_read_in_a_step_with_all_hooks(images, tmp_path, monkeypatch, options):
    if torch.__version__ < '2.4':
        pytest.skip('this torch has no fused kernel on the CPU')
    monkeypatch.setattr(finite_guard, '_is_on_host', lambda value: False)
    shipped = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py')
    left_out = ('FeaturePictureHook', 'BackboneExportHook', 'TeacherGuardHook')  # of other models; after epochs
    hooks = [hook for hook in shipped.custom_hooks if hook.type.split('.')[1] not in left_out]
    defaults = {**shipped.default_hooks, 'logger': dict(type='LoggerHook', interval=INTERVAL)}
    loader = {**toy.train_dataloader(images), 'batch_size': 1}
    wrapper = dict(
        type='mmimg2vec.AutocastOptimWrapper',
        dtype='float32',
        optimizer=dict(type='AdamW', lr=1e-2, fused=True),
        **options,
    )
    run = toy.runner_of(
        images,
        tmp_path / 'run',
        hooks=[hook for hook in hooks if hook.type != 'mmimg2vec.SeededStepHook'],
        default_hooks=defaults,
        train_dataloader=loader,
        optim_wrapper=wrapper,
        epochs=1,
    )
    reads = Reads()
    run.register_hook(Watch(reads))
    run.train()
    assert run.iter == 12
    # The toy chooses by a mask, and checks its masks where the images are; the project's preprocessor does on the host.
    toys = ('toy.py:forward', 'tokens.py:checked')
    assert {place: count for place, count in reads.lines.items() if place not in toys} == {}


def test_reads_are_counted():
    reads = Reads()
    value = torch.tensor([1.0, float('nan')])
    with reads:
        value.sum().item()
        bool(value.isnan().any())
        value[value > 0]
        value.nonzero()
    assert sum(reads.lines.values()) == 4
