"""Settings that cannot work are one line with the cure, before anything is built."""

import re

import pytest
from mmengine.config import Config

from mmimg2vec.engine.settings_check import check_settings
from mmimg2vec.errors import UserError
from mmimg2vec.utils.config import load_config

CONFIG = 'configs/demo/img2vec_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
OPTIMIZER = 'optim_wrapper.optimizer'
WRONG = {
    'no image': ({'train_dataloader.batch_size': 0}, r'train_dataloader.batch_size=0 has to be an integer from 1 on'),
    'negative': ({'train_dataloader.num_workers': -1}, r'num_workers=-1 has to be an integer from 0 on'),
    'seed': ({'randomness.seed': -1}, r'the seed -1 \(--seed, or randomness.seed\)'),
    'iterations': ({'train_cfg.max_iters': 10}, r'train_cfg.max_iters: .*CheckedTrainLoop takes no max_iters'),
    'lrr': ({f'{OPTIMIZER}.lrr': 1e-3}, r'optimizer.lrr: AdamW takes no lrr; it takes "lr"'),
    'comma': ({f'{OPTIMIZER}.lr': [1, 5e-4]}, r'lr=\[1, 0.0005\] has to be one number from 0 on, with a point'),
    'word': ({f'{OPTIMIZER}.lr': 'fast'}, r"lr='fast' has to be one number"),
    'optimizer': ({f'{OPTIMIZER}.type': 'AdanW'}, r"optimizer.type='AdanW' is not known; near: .*AdamW"),
    'hook': (
        {'custom_hooks.0.type': 'mmimg2vec.SeededStepHok'},
        r"custom_hooks.0.type='mmimg2vec.SeededStepHok' is not known; near: mmimg2vec.SeededStepHook",
    ),
    'scheduler': ({'param_scheduler.0.start_facto': 0.1}, r'takes no start_facto; it takes "start_factor"'),
}


@pytest.mark.parametrize('name', WRONG)
def test_a_setting_that_cannot_work(name):
    options, message = WRONG[name]
    with pytest.raises(UserError, match=message) as error:
        check_settings(load_config(CONFIG, options))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['lr', 'weight_decay', 'momentum', 'eps'])
@pytest.mark.parametrize(('value', 'fits'), [(0, True), (0.5, True), (-1e-9, False), (True, False), ((0.1,), False)])
def test_numbers_of_an_optimizer(name, value, fits):
    cfg = Config(dict(optim_wrapper=dict(optimizer={'type': 'AdamW' if name == 'eps' else 'SGD', name: value})))
    if fits:
        check_settings(cfg)
    else:
        with pytest.raises(UserError, match=rf'optim_wrapper\.optimizer\.{name}=.* has to be one number from 0 on'):
            check_settings(cfg)


def test_an_interpolation_that_is_not_known():
    cfg = load_config(CONFIG)
    pipeline = cfg.train_dataloader.dataset.dataset.pipeline
    (number,) = [index for index, each in enumerate(pipeline) if 'Crop' in each['type']]
    pipeline[number]['interpolation'] = 'bicubicc'
    with pytest.raises(UserError, match=rf'pipeline.{number}.interpolation=.bicubicc. is not known: "bicubic"'):
        check_settings(cfg)


def test_shipped_settings_pass():
    """And so does the shortest run: its schedule is what is left of the warm-up, or of the decrease."""
    for options in ({}, {'train_cfg.max_epochs': 1}, {f'{OPTIMIZER}.betas': (0.9, 0.99)}):
        check_settings(load_config(CONFIG, options))


@pytest.mark.parametrize('epochs', [1, 2, 3])
def test_a_very_short_run_has_a_schedule(epochs):
    for name in (CONFIG, 'configs/img2vec/img2vec_vit-small-p16_1xb256-amp-coslr-300e_own-images.py'):
        cfg = load_config(name, {'train_cfg.max_epochs': epochs})
        spans = [(each.get('begin', 0), each.get('end', epochs)) for each in cfg.param_scheduler]
        assert spans and all(begin < end <= epochs for begin, end in spans), spans
        assert re.match(r'Linear|Cosine', cfg.param_scheduler[0]['type'])


@pytest.mark.parametrize(
    'key',
    ['train_cfg.max_epochs', 'train_cfg.max_iters', 'train_cfg.val_interval', 'optim_wrapper.accumulative_counts'],
)
@pytest.mark.parametrize('value', [0, -1, 1.5, '2'])
def test_runs_of_no_steps(key, value):
    """Nothing would be learnt, and the random weights be saved."""
    part, name = key.split('.')
    with pytest.raises(UserError, match=f'{key}={value!r} has to be an integer from 1 on'):
        check_settings(Config({part: {name: value}}))
    check_settings(Config({part: {name: 1}}))
