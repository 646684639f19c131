"""What a chain looks for before its first stage starts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmimg2vec.chain import Launch, check_chain, read_chain, stage_command
from mmimg2vec.chain.preflight import try_stages
from mmimg2vec.datasets.shapes import ShapesOptions, write_shapes

CHAIN = 'configs/chains/img2vec_shapes.py'


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shapes')
    write_shapes(folder, ShapesOptions(scenes=4, val_scenes=2))
    return folder


def problems(folder, shapes, stages, launch=None):
    """The problems of a chain of some stages of the demo's, without the one that draws the images."""
    text = (
        f"_base_ = ['{CHAIN}']\n"
        f"stages = [s for s in _base_.stages if s['name'] in {stages!r}]\n"
        "for stage in stages: stage.pop('needs', None); stage.pop('baseline_of', None)\n"
        f"env = dict(IMG2VEC_SHAPES='{shapes}')\n"
    )
    path = folder / 'chain.py'
    path.write_text(text)
    chain = read_chain(str(path), str(folder / 'work'))
    return check_chain(chain, launch or Launch())


@pytest.fixture
def folder(tmp_path):
    # The chain names its configs as a user does, from the checkout.
    (tmp_path / 'configs').symlink_to(Path(__file__).resolve().parents[2] / 'configs')
    return tmp_path


def test_nothing_is_missing(folder, shapes):
    assert problems(folder, shapes, ['teacher', 'pretrain', 'detect', 'segment', 'finetune']) == []


def test_data_that_a_stage_will_make_need_not_be_there(tmp_path):
    chain = read_chain(CHAIN, str(tmp_path / 'work'), options={'env.IMG2VEC_SHAPES': 'nowhere'})
    found = check_chain(chain, Launch())
    assert found and all('nowhere' in line for line in found)
    assert check_chain(read_chain(CHAIN, str(tmp_path / 'work')), Launch()) == []


def test_missing_folder(folder, tmp_path):
    found = problems(folder, tmp_path / 'gone', ['teacher', 'detect-scratch', 'segment-scratch'])
    for stage in ('teacher', 'detect-scratch', 'segment-scratch'):
        assert any(f'{stage}: no data folder' in line and 'gone' in line for line in found)


def test_annotations_without_a_class(folder, shapes, tmp_path):
    copy = tmp_path / 'shapes'
    shutil.copytree(shapes, copy)
    path = copy / 'coco' / 'annotations' / 'instances_train.json'
    path.write_text(path.read_text().replace('"mushroom"', '"toadstool"'))
    (line,) = problems(folder, copy, ['detect-scratch'])
    assert 'mushroom' in line and str(path) in line


def test_missing_checkpoint(folder, shapes, monkeypatch, tmp_path):
    config = "[s.config for s in _base_.stages if s.name == 'detect'][0]"
    text = f"_base_ = ['{CHAIN}']\nstages = [dict(name='detect', config={config})]\n"
    (folder / 'chain.py').write_text(text + f"env = dict(IMG2VEC_SHAPES='{shapes}')\n")
    monkeypatch.setenv('IMG2VEC_BACKBONE', str(tmp_path / 'backbone.pth'))
    (line,) = check_chain(read_chain(str(folder / 'chain.py'), str(tmp_path / 'work')), Launch())
    assert 'no checkpoint' in line and 'model.backbone.init_cfg.checkpoint' in line
    torch.save({}, tmp_path / 'backbone.pth')
    assert check_chain(read_chain(str(folder / 'chain.py'), str(tmp_path / 'work')), Launch()) == []


def test_only_the_stages_that_run_are_looked_at(folder, shapes, tmp_path):
    text = f"_base_ = ['{CHAIN}']\nenv = dict(IMG2VEC_SHAPES='{tmp_path / 'gone'}')\n"
    (folder / 'chain.py').write_text(text)
    chain = read_chain(str(folder / 'chain.py'), str(tmp_path / 'work'))
    assert check_chain(chain, Launch(), only=('images',)) == []
    (line,) = check_chain(chain, Launch(), only=('segment-scratch',))
    assert line.startswith('stage segment-scratch') and 'IMG2VEC_ADE' in line


def test_what_a_finished_stage_made_has_to_be_there_still(folder, shapes, tmp_path):
    chain = read_chain(CHAIN, str(tmp_path), options={'env.IMG2VEC_SHAPES': str(shapes)})
    for name in ('images', 'teacher', 'pretrain'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'stage.json').write_text('{}')
    (line,) = [p for p in check_chain(chain, Launch()) if 'checkpoint' in p]
    assert 'pretrain/backbone.pth' in line


def test_finished_stages_are_looked_at_where_they_are_done_again(tmp_path):
    text = "stages = [dict(name='a', command='gone.py'), dict(name='b', command='gone-too.py {a}/x')]"
    (tmp_path / 'chain.py').write_text(text)
    chain = read_chain(str(tmp_path / 'chain.py'), str(tmp_path / 'work'))
    lines = ['stage a: no script gone.py: correct its command', 'stage b: no script gone-too.py: correct its command']
    assert check_chain(chain, Launch()) == lines
    for name in 'ab':
        (tmp_path / 'work' / name).mkdir(parents=True)
        (tmp_path / 'work' / name / 'stage.json').write_text('{}')
    assert check_chain(chain, Launch()) == []
    assert check_chain(chain, Launch(), redo=('b',)) == lines[1:]
    assert check_chain(chain, Launch(), redo=('a',)) == lines  # with what needs it


def test_words_of_commands(tmp_path):
    (tmp_path / 'there.pth').write_text('')
    text = (
        "stages = [dict(name='a', command='tools/probe.py --checkpoint=gone.pth {a}/own.pth THERE'.replace("
        f"'THERE', '{tmp_path}/there.pth')), dict(name='b', command='tools/probe.py gone.pth')]"
    )
    (tmp_path / 'chain.py').write_text(text)
    chain = read_chain(str(tmp_path / 'chain.py'), str(tmp_path / 'work'))
    own = tmp_path / 'work' / 'a' / 'own.pth'
    assert check_chain(chain, Launch()) == [
        'stages a, b: no checkpoint gone.pth: train it first, or name another file',
        f'stage a: no checkpoint {own}: train it first, or name another file',
    ]


def test_configs_that_runs_leave_need_not_be_there(tmp_path):
    text = """
stages = [
    dict(name='train', config='configs/demo/resnet-tiny_1xb256-knn_shapes.py'),
    dict(name='measure',
         command='tools/analysis_tools/token_diversity.py images --teachers a={train}/a.py b=gone/b.py'),
]
"""
    (tmp_path / 'chain.py').write_text(text)
    chain = read_chain(str(tmp_path / 'chain.py'), str(tmp_path / 'work'))
    found = [line for line in check_chain(chain, Launch()) if 'measure' in line]
    assert len(found) == 1 and 'no config file gone/b.py' in found[0]


def test_slurm_needs_a_partition(folder, shapes):
    assert 'partition' in problems(folder, shapes, ['teacher'], Launch('slurm'))[0]


def test_dry_run_starts_nothing(tmp_path):
    command = [sys.executable, 'tools/chain.py', CHAIN, '--work-dir', str(tmp_path), '--dry-run']
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert 'everything that the stages need is there' in result.stdout
    assert result.stdout.count('tools/train.py') == 8
    assert list(tmp_path.iterdir()) == []

    bad = [*command, '--cfg-options', 'env.IMG2VEC_SHAPES=nowhere']
    result = subprocess.run(bad, capture_output=True, text=True)
    assert result.returncode == 2 and 'nothing was started' in result.stderr
    assert 'Traceback' not in result.stderr


def test_check_makes_a_step_of_each_stage_that_can_start(tmp_path, shapes):
    chain = tmp_path / 'chain.py'
    chain.write_text(
        f"""
title, work_dir = 'check', {str(tmp_path / 'work')!r}
env = dict(IMG2VEC_SHAPES={str(shapes)!r})
pretrain = 'configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py'
stages = [
    dict(name='pretrain', config=pretrain,
         options={{'train_dataloader.batch_size': 4, 'train_dataloader.num_workers': 0}}),
    dict(name='wrong', config=pretrain, options={{'train_dataloader.batch_size': 10**6}}),
    dict(name='finetune', config='configs/demo/vit-tiny-p8_1xb64-coslr-5e_shapes.py',
         env=dict(IMG2VEC_BACKBONE='{{pretrain}}/backbone.pth')),
]
"""
    )
    found = read_chain(str(chain))
    lines = []
    (problem,) = try_stages(found, Launch(), report=lines.append)
    assert problem.startswith('stage wrong: ') and 'do not fill one batch' in problem
    table, waiting = lines
    assert table.startswith('[pretrain]') and 'one step' in table and 'learning rate' in table
    assert waiting == '[finetune] not tried: it starts from pretrain'
    assert not (tmp_path / 'work' / 'pretrain').exists()


def test_a_chain_of_an_installed_package_runs_in_any_folder(tmp_path, monkeypatch):
    """Configs and tools that are not below the current folder are the package's own."""
    monkeypatch.chdir(tmp_path)
    chain = read_chain(CHAIN, str(tmp_path / 'work'))
    assert check_chain(chain, Launch()) == []
    _, words = stage_command(chain, chain['pretrain'], Launch())
    assert Path(words[1]).is_file() and words[2].startswith('configs/')
