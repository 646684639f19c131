"""What the scripts share: defaults of a run, and the runner that a config asks for."""

import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy  # noqa: F401  (registers a model)
from mmengine import logging
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
    for kind in ('Runner', 'FlexibleRunner'):
        runner = getattr(command_line, f'Console{kind}')
        monkeypatch.setattr(runner, 'from_cfg', lambda cfg, kind=kind: made.append((kind, cfg)))
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


def test_the_console_leaves_lists_to_the_log_file(tmp_path, capsys):
    """Config, environment and hooks are hundreds of lines that nobody reads before the first step."""
    cfg = Config(dict(model=dict(type='ToyPretrainer'), work_dir=str(tmp_path), custom_text='x' * 20))
    cfg._filename = 'config.py'
    runner = command_line.build_runner(cfg)
    runner.logger.info('what matters')
    runner.logger.error('Config:\nis wrong')
    shown = capsys.readouterr().out
    (log,) = tmp_path.glob('*/*.log')
    assert 'what matters' in shown and 'Config:\nis wrong' in shown and str(log) in shown
    assert 'custom_text' not in shown and 'System environment' not in shown and 'Hooks will be' not in shown
    whole = log.read_text()
    assert 'custom_text' in whole and 'System environment' in whole and 'what matters' in whole


TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.mark.parametrize('tool', sorted(TOOLS.rglob('*.py')), ids=lambda path: path.stem)
def test_a_python_without_the_packages_is_named(tool):
    """``python tools/train.py`` beside the environment that ``make venv`` has set up."""
    done = subprocess.run([sys.executable, '-S', '-I', str(tool)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ''
    (line,) = done.stderr.splitlines()
    assert line.startswith('mmimg2vec: error: ') and line.endswith('take .venv/bin/python, made by `make venv`')


def test_a_remark_on_an_unrelated_package_is_left_out(capsys):
    logging.print_log('Could not import OneDL. Skipping OneDL datasets.')
    logging.print_log('something else')
    assert capsys.readouterr().out == 'something else\n'


@pytest.mark.parametrize(('number', 'one_line'), [(errno.ENOSPC, True), (errno.EFBIG, True), (errno.ENOENT, False)])
def test_a_full_disk_is_one_line_wherever_a_file_is_written(number, one_line, capsys):
    def main():
        raise OSError(number, os.strerror(number), 'results.md')

    with pytest.raises(SystemExit if one_line else OSError) as error:
        command_line.run(main)
    if one_line:
        assert error.value.code == 2
        assert f"{os.strerror(number)}: 'results.md': make room there" in capsys.readouterr().err
