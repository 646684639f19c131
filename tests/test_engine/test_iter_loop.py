"""An iteration-based run that is stopped and resumed goes on with the next batch and ends with the same weights."""

import downstream
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from mmimg2vec.datasets import SeededSampler
from mmimg2vec.engine.loops import EndlessBatches
from mmimg2vec.errors import UserError


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    return downstream.small_shapes(tmp_path_factory.mktemp('data'))


class Keys:
    """A dataset whose samples are their keys; counts what is loaded."""

    def __init__(self, length=10):
        self.length, self.loaded = length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        self.loaded += 1
        return tuple(key) if isinstance(key, tuple) else key


def loader_of(sampler_type=SeededSampler, drop_last=True, **kwargs):
    dataset = Keys()
    sampler = sampler_type(dataset, shuffle=True, seed=3)
    return DataLoader(dataset, 3, sampler=sampler, drop_last=drop_last, collate_fn=list, **kwargs)


def take(batches, count):
    return [next(batches) for _ in range(count)]


@pytest.mark.parametrize('sampler_type', [SeededSampler, DefaultSampler])
@pytest.mark.parametrize('drop_last', [True, False])
def test_any_batch_can_be_the_next_one(sampler_type, drop_last):
    expected = take(EndlessBatches(loader_of(sampler_type, drop_last)), 14)
    per_epoch = 3 if drop_last else 4
    assert expected[:per_epoch] != expected[per_epoch : 2 * per_epoch]
    for position in (0, 1, per_epoch - 1, per_epoch, per_epoch + 1, 2 * per_epoch):
        batches = EndlessBatches(loader_of(sampler_type, drop_last))
        batches.seek(position)
        assert take(batches, 14 - position) == expected[position:]


def test_nothing_is_loaded_twice():
    loader = loader_of()
    batches = EndlessBatches(loader)
    batches.seek(8)
    assert loader.dataset.loaded == 0
    take(batches, 2)
    assert loader.dataset.loaded == 6
    assert len(loader) == len(batches.batches) == 3 and loader.batch_sampler.batch_size == 3


@pytest.mark.parametrize('persistent', [True, False])
def test_workers_do_not_change_the_batches(persistent):
    expected = take(EndlessBatches(loader_of()), 9)
    batches = EndlessBatches(loader_of(num_workers=2, persistent_workers=persistent))
    batches.seek(2)
    assert take(batches, 7) == expected[2:]


def test_batches_of_like_shape_are_resumed():
    from mmdet.datasets.samplers import AspectRatioBatchSampler

    class Pictures(Keys):
        def get_data_info(self, key):
            return dict(width=1 + key.index % 3, height=2)

    def loader():
        dataset = Pictures()
        sampler = AspectRatioBatchSampler(SeededSampler(dataset, seed=3), 3)
        return DataLoader(dataset, batch_sampler=sampler, collate_fn=list)

    expected = take(EndlessBatches(loader()), 10)
    batches = EndlessBatches(loader())
    batches.seek(5)
    assert take(batches, 5) == expected[5:]


class StopAt(Hook):
    priority = 'LOWEST'

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, **kwargs):
        if runner.iter + 1 == self.step:
            raise KeyboardInterrupt


class Starts(Hook):
    """Notes whether the workers wait for the hooks."""

    def before_train(self, runner):
        self.started = runner.train_dataloader._iterator is not None


def test_resumed_segmentor_is_bit_identical(shapes, tmp_path):
    """Stopped after iteration 6 of 7 (three batches per epoch), with a checkpoint of iteration 4."""
    cfg = downstream.segmentor(shapes, num_workers=1)
    whole = downstream.runner_of(cfg, tmp_path / 'whole')
    whole.train()
    assert len(whole.train_dataloader) == 3
    first = downstream.runner_of(cfg, tmp_path / 'parts')
    first.register_hook(StopAt(6))
    with pytest.raises(KeyboardInterrupt):
        first.train()
    torch.manual_seed(99)
    resumed = downstream.runner_of(cfg, tmp_path / 'parts', resume=True)
    starts = Starts()
    resumed.register_hook(starts)
    resumed.train()
    assert not starts.started
    expected, got = (downstream.weights(tmp_path / name / 'iter_7.pth') for name in ('whole', 'parts'))
    assert downstream.equal(got, expected)
    before = downstream.weights(tmp_path / 'parts' / 'iter_4.pth')
    assert not downstream.equal(before, expected)


def test_samplers_without_epochs_are_served_as_before(shapes, tmp_path):
    cfg = downstream.segmentor(shapes, sampler='InfiniteSampler')
    cfg.train_cfg.max_iters = 4
    runner = downstream.runner_of(cfg, tmp_path / 'run')
    runner.train()
    assert isinstance(runner.train_dataloader.sampler, InfiniteSampler)
    assert runner.iter == 4
    cfg.train_cfg.max_iters = 5
    resumed = downstream.runner_of(cfg, tmp_path / 'run', resume=True)
    resumed.train()
    assert resumed.iter == 5


def test_validation_happens_on_the_way(shapes, tmp_path):
    cfg = downstream.segmentor(shapes)
    cfg.train_cfg.update(val_interval=2, max_iters=3)
    cfg.update(val_dataloader=cfg.test_dataloader, val_evaluator=cfg.test_evaluator, val_cfg=dict())
    assert validations(downstream.runner_of(cfg, tmp_path / 'run')) == [2, 3]


def validations(runner):
    """The iterations after which a run validates."""
    steps = []
    runner.call_hook = lambda name, **kwargs: (
        steps.append(runner.iter) if name == 'before_val' else None,
        type(runner).call_hook(runner, name, **kwargs),
    )
    runner.train()
    return steps


@pytest.mark.parametrize(
    'train_cfg',
    [
        dict(type='mmimg2vec.CheckedIterTrainLoop', max_iters=3),
        dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=1),
    ],
)
def test_a_run_killed_before_its_last_validation_makes_up_for_it(shapes, tmp_path, train_cfg):
    cfg = downstream.segmentor(shapes)
    cfg.update(val_dataloader=cfg.test_dataloader, val_evaluator=cfg.test_evaluator, val_cfg=dict())
    cfg.train_cfg = train_cfg
    by_epoch = 'max_epochs' in train_cfg
    cfg.default_hooks.checkpoint.update(by_epoch=by_epoch, interval=1 if by_epoch else 3)
    assert validations(downstream.runner_of(cfg, tmp_path / 'run')) == [3]
    # Nothing is left to train; whether the validation had been done is not known.
    assert validations(downstream.runner_of(cfg, tmp_path / 'run', resume=True)) == [3]


def test_fewer_images_than_a_batch_are_named(shapes, tmp_path):
    cfg = downstream.segmentor(shapes)
    cfg.train_dataloader.batch_size = 13
    with pytest.raises(UserError, match='12 images do not fill one batch of 13'):
        downstream.runner_of(cfg, tmp_path / 'run').train()
