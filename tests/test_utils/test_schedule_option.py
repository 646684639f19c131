"""A number of epochs or iterations that is changed alone: the schedule follows it."""

import pytest
from mmengine.config import Config

from mmimg2vec.utils.config import fit_schedule, load_config

WARMUP = dict(type='LinearLR', by_epoch=True, begin=0, end=40, convert_to_iter_based=True)
COSINE = dict(type='CosineAnnealingLR', by_epoch=True, begin=40, end=300, convert_to_iter_based=True)


def fitted(options, *schedulers, **train_cfg):
    cfg = Config(dict(param_scheduler=[dict(s) for s in schedulers], train_cfg=train_cfg or dict(max_epochs=300)))
    return cfg.param_scheduler, fit_schedule(cfg, options)


@pytest.mark.parametrize(
    ('epochs', 'warmup'),
    [
        (1600, 40),  # longer: MAE's 40 epochs of warm-up stay
        (150, 20),  # shorter: its share stays
        (5, 0.6667),  # leaves the warm-up, which ends within an epoch
    ],
)
def test_warm_up_and_cosine(epochs, warmup):
    (first, last), notes = fitted({'train_cfg.max_epochs': epochs}, WARMUP, COSINE)
    assert (first.begin, first.end, last.begin, last.end) == (0, warmup, warmup, epochs)
    assert len(notes) == 1 and f'train_cfg.max_epochs={epochs}' in notes[0]


def test_drops_keep_their_shares():
    """ViTDet's of 100 epochs become those of its 75; what counts iterations stays."""
    warmup = dict(type='LinearLR', by_epoch=False, begin=0, end=250)
    drops = dict(type='MultiStepLR', by_epoch=True, begin=0, end=100, milestones=[89, 96])
    (first, last), _ = fitted({'train_cfg.max_epochs': 75}, warmup, drops, max_epochs=100)
    assert (first.end, last.end, last.milestones) == (250, 75, [67, 72])


def test_whole_epochs_where_nothing_is_converted():
    plain = [dict(s, convert_to_iter_based=False) for s in (WARMUP, COSINE)]
    (first, last), _ = fitted({'train_cfg.max_epochs': 5}, *plain)
    assert (first.end, last.begin, last.end) == (1, 1, 5)


def test_iterations():
    poly = dict(type='PolyLR', by_epoch=False, begin=1500, end=160000)
    (last,), _ = fitted({'train_cfg.max_iters': 80000}, poly, max_iters=160000)
    assert (last.begin, last.end) == (750, 80000)


@pytest.mark.parametrize(
    'options',
    [
        {'train_cfg.max_epochs': 300},
        {'train_cfg.max_epochs': 5, 'param_scheduler.1.end': 5},  # the user's own schedule
        {'optim_wrapper.optimizer.lr': 1.0},
    ],
)
def test_what_is_left_alone(options):
    (first, last), notes = fitted(options, WARMUP, COSINE)
    assert (dict(first), dict(last), notes) == (WARMUP, COSINE, [])


def test_it_is_said_in_one_line(tmp_path, capsys):
    config = tmp_path / 'c.py'
    config.write_text(f'train_cfg = dict(max_epochs=300)\nparam_scheduler = [dict({WARMUP}), dict({COSINE})]\n')
    cfg = load_config(str(config), {'train_cfg.max_epochs': 30})
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 30
    (line,) = capsys.readouterr().err.splitlines()
    assert 'param_scheduler follows train_cfg.max_epochs=30: LinearLR 0 to 4, CosineAnnealingLR 4 to 30' in line
