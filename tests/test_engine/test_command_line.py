"""What the scripts share: defaults of a run, and the runner that a config asks for."""

import argparse
import subprocess

import pytest
from mmengine.config import Config

from mmimg2vec.engine import command_line
from mmimg2vec.errors import UserError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def test_dataloaders_of_mmpretrain_get_its_defaults():
    given = dict(num_workers=2, pin_memory=False, persistent_workers=False, collate_fn=dict(type='other'))
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            train_dataloader=dict(num_workers=2),
            val_dataloader=given,
            test_dataloader=dict(),
        )
    )
    command_line.set_dataloader_defaults(cfg)
    default = dict(pin_memory=True, collate_fn=dict(type='default_collate'))
    assert cfg.train_dataloader.to_dict() == dict(default, num_workers=2, persistent_workers=True)
    assert cfg.val_dataloader.to_dict() == given
    assert cfg.test_dataloader.to_dict() == dict(default, persistent_workers=False)
    cfg = Config(dict(default_scope='mmpretrain', val_dataloader=None))
    command_line.set_dataloader_defaults(cfg)
    assert cfg.val_dataloader is None


@pytest.fixture
def built(monkeypatch):
    """The configs from which runners would be built, by the way to build them."""
    made = []
    monkeypatch.setattr(command_line.Runner, 'from_cfg', lambda cfg: made.append(('Runner', cfg)))
    monkeypatch.setattr(command_line.RUNNERS, 'build', lambda cfg: made.append((cfg.runner_type, cfg)))
    return made


def test_the_runner_that_a_config_asks_for(built):
    for given in (dict(a=1), dict(strategy=dict(type='X')), dict(runner_type='Own', strategy=dict(type='X'))):
        command_line.build_runner(Config(given))
    assert [kind for kind, _ in built] == ['Runner', 'FlexibleRunner', 'Own']


def test_workers_that_are_not_there_are_not_kept(built):
    loaders = {name: dict(num_workers=0, persistent_workers=True) for name in LOADERS}
    command_line.build_runner(Config(loaders))
    assert not any(built[0][1][name].persistent_workers for name in LOADERS)
    command_line.build_runner(Config(dict(train_dataloader=dict(num_workers=1, persistent_workers=True))))
    assert built[1][1].train_dataloader.persistent_workers


def test_a_backend_whose_package_is_missing(built, monkeypatch):
    monkeypatch.setitem(command_line.BACKEND_PACKAGES, 'AimVisBackend', 'no_such_package')
    backends = [dict(type='LocalVisBackend'), dict(type='mmengine.AimVisBackend')]
    with pytest.raises(UserError, match=r'AimVisBackend of visualizer\.vis_backends .*no_such_package'):
        command_line.build_runner(Config(dict(visualizer=dict(vis_backends=backends))))
    command_line.build_runner(Config(dict(visualizer=dict(vis_backends=backends[:1]))))
    assert len(built) == 1


def test_common_arguments():
    parser = argparse.ArgumentParser()
    command_line.add_common_arguments(parser)
    options = parser.parse_args([])
    assert (options.work_dir, options.cfg_options, options.launcher, options.local_rank) == (None, None, 'none', 0)
    options = parser.parse_args(
        ['--work-dir', 'x', '--launcher', 'slurm', '--local-rank', '3', '--cfg-options', 'a=1', 'b.c=x']
    )
    assert (options.work_dir, options.launcher, options.local_rank) == ('x', 'slurm', 3)
    assert options.cfg_options == {'a': 1, 'b.c': 'x'}
    assert parser.parse_args(['--local_rank', '2']).local_rank == 2


def test_only_mistakes_of_the_user_end_in_one_line(capsys):
    def mistake():
        raise UserError('what is wrong: the cure')

    with pytest.raises(SystemExit) as end:
        command_line.run(mistake)
    assert end.value.code == 2
    assert 'what is wrong: the cure' in capsys.readouterr().err
    with pytest.raises(subprocess.TimeoutExpired):
        command_line.run(lambda: subprocess.run(['sleep', '5'], timeout=0.01))
    command_line.run(lambda: None)
