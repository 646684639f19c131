"""The chain configs that are shipped: what each stage starts from, with which options, and what its report says."""

import json
import re
from pathlib import Path

import pytest
from mmengine.config import DictAction

from mmimg2vec.chain import Launch, check_chain, read_chain, shell_line, stage_command
from mmimg2vec.chain.commands import LAUNCHERS
from mmimg2vec.chain.records import read_config
from mmimg2vec.chain.report import compare, draw_results, table
from mmimg2vec.chain.report.results import Comparison

ROOT = Path(__file__).resolve().parents[2]
CHAINS = sorted(path.stem for path in (ROOT / 'configs' / 'chains').glob('*.py'))
LAYER_SCALE = 'model.backbone.layer_scale_init_value'
# What a user brings along: data sets, and the weights of others.
BROUGHT = re.compile(
    r'stages? [\w, -]+: no (data folder|annotation file|checkpoint) '
    r'(data/|backbone.pth)'
)


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ('BACKBONE', 'CLIP', 'TEACHER', 'SHAPES', 'EPOCHS'):
        monkeypatch.delenv(f'IMG2VEC_{name}', raising=False)


def chain(name, folder='work'):
    return read_chain(f'configs/chains/{name}.py', str(folder), seed=5)


@pytest.mark.parametrize('name', CHAINS)
def test_everything_but_what_a_user_brings_is_there(name, tmp_path):
    found = chain(name, tmp_path)
    assert found.title and found.introduction.strip()
    for launcher in LAUNCHERS:
        launch = Launch(launcher, partition='p')
        lines = [shell_line(*stage_command(found, stage, launch)) for stage in found.stages]
        assert len(set(lines)) == len(lines) and not any('{' in line for line in lines)
    missing = check_chain(found, Launch())
    assert [line for line in missing if not BROUGHT.match(line)] == []
    assert bool(missing) == name.endswith('vit-base')


@pytest.mark.parametrize('method', ['img2vec', 'mff', 'cae-v2'])
@pytest.mark.parametrize('size', ['shapes', 'vit-base'])
def test_every_method_goes_the_whole_way(method, size):
    found = chain(f'{method}_{size}')
    tasks = {'pretrain', 'detect', 'segment', 'finetune'}
    names = [stage.name for stage in found.stages]
    assert tasks <= set(names)
    assert {other for stage in found.stages for other in stage.baseline_of} >= tasks - {'pretrain'}
    assert Path(found['pretrain'].config).name.startswith(f'{method}_')
    for stage in found.stages:
        if 'scratch' in stage.name:
            assert 'pretrain' not in stage.needs and 'IMG2VEC_BACKBONE' not in stage.env
        elif stage.name.removesuffix('-ms') in {*tasks, 'knn', 'linear', 'probe', 'attentive'} - {'pretrain'}:
            assert stage.env['IMG2VEC_BACKBONE'] == 'work/pretrain/backbone.pth'
            assert 'pretrain' in stage.needs
    if size == 'vit-base':
        folder = {'cae-v2': 'cae_v2'}.get(method, method)
        for stage in found.stages:
            words = [stage.config, *stage.command]
            wanted = f'configs/{folder}/' if stage.name == 'pretrain' else 'configs/benchmarks/'
            assert all(word.startswith(wanted) for word in words if word.endswith('.py') and 'configs' in word)


def test_cae_v2s_own_recipes_in_the_full_chain():
    """Where its recipe differs from the shared one: batch, rates, and LayerScale of what starts from random weights."""
    found = chain('cae-v2_vit-base')
    assert read_config(found['linear']).train_dataloader.batch_size == 1024
    assert read_config(found['finetune']).optim_wrapper.optimizer.lr == 2e-4
    for name in ('segment', 'segment-scratch'):
        assert read_config(found[name]).optim_wrapper.optimizer.lr == 2e-4
    for stage in found.stages:
        if stage.name.endswith('-scratch'):
            assert read_config(stage).model.backbone.layer_scale_init_value == 0.1
    assert '--tta' in found['segment-ms'].command


def test_the_work_dirs_differ():
    folders = [read_chain(f'configs/chains/{name}.py').work_dir for name in CHAINS]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize('name', ['cae-v2_shapes', 'cae-v2_vit-base', 'methods_shapes'])
def test_the_reader_learns_that_clip_saw_captions(name):
    assert 'saw captions**: ' in chain(name).introduction
    assert any('captions' in stage.title for stage in chain(name).stages)
    # The report begins with it.
    assert 'captions' not in chain('mff_shapes').introduction


def test_backbones_of_cae_v2_have_layer_scale_everywhere():
    found = chain('cae-v2_shapes')
    assert found['pretrain'].env['IMG2VEC_CLIP'] == 'work/clip/clip.pth'
    assert found['pretrain'].needs == ('clip',)
    for stage in found.stages:
        if stage.name in ('images', 'clip', 'pretrain'):
            assert LAYER_SCALE not in stage.options
        elif stage.config:
            assert read_config(stage).model.backbone.layer_scale_init_value == 0.1
        else:
            assert stage.command[-2:] == ('--cfg-options', f'{LAYER_SCALE}=0.1')
    for name in ('img2vec_shapes', 'mff_shapes'):
        assert not any('layer_scale' in str(vars(stage)) for stage in chain(name).stages)


class TestMethods:
    """The experiment on supervision, mask ratio and fusion."""

    def test_what_differs(self, monkeypatch):
        monkeypatch.setenv('IMG2VEC_EPOCHS', '3')
        found = chain('methods_shapes')
        wanted = {
            'cae-visible': ('visible', 0.5),
            'cae-masked': ('masked', 0.5),
            'cae-all': ('all', 0.5),
            'cae-all-25': ('all', 0.25),
            'cae-all-75': ('all', 0.75),
        }
        for name in ('mae', 'mff', *wanted):
            cfg = read_config(found[name])
            assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 3
            assert cfg.param_scheduler[1].type == 'CosineAnnealingLR'
            probe = found[f'probe-{name}']
            assert probe.env['IMG2VEC_BACKBONE'] == f'work/{name}/backbone.pth'
            assert (f'{LAYER_SCALE}=0.1' in probe.command) == (name in wanted)
            if name not in wanted:
                continue
            masks = [
                step
                for step in cfg.train_dataloader.dataset.dataset.pipeline
                if step.type == 'mmimg2vec.BlockTokenMask'
            ]
            assert (cfg.model.head.supervision, masks[0].mask_ratio) == wanted[name]
            assert found[name].env['IMG2VEC_CLIP'] == 'work/clip/clip.pth'

    def test_baselines(self):
        found = chain('methods_shapes')
        for name, scaled in (('probe-random', False), ('probe-random-cae', True)):
            command = found[name].command
            assert command[command.index('--seed') + 1] == '5' and '--random' in command
            assert (f'{LAYER_SCALE}=0.1' in command) == scaled
        assert ('probe-mff', 'probe-mae') in found.differences
        assert ('probe-cae-visible', 'probe-cae-masked') in found.differences


def row(stage, key, value, minutes=1.0):
    return Comparison(stage, f'title of {stage}', key, value, None, minutes)


RUNS = [
    [
        *(row('a', 'knn', 30.0, 2), row('b', 'knn', 20.0, 4), row('a', 'linear', 50.0, 2)),
        row('t', 'mIoU', 7.0),
    ],
    [
        *(row('a', 'knn', 34.0, 4), row('b', 'knn', 28.0, 4), row('b', 'linear', 60.0, 4)),
        row('t', 'mIoU', 9.0),
    ],
]


class TestTableOfDifferences:
    def test_one_line_per_stage_and_one_per_pair(self):
        lines = table(RUNS, [('a', 'b'), ('a', 'gone')]).splitlines()
        assert lines[0] == '| | kNN, patch mean | linear, patch mean | minutes of training |'
        assert lines[2] == '| title of a | 32.0 ± 2.8 | 50.0 | 3.0 ± 1.4 |'
        assert lines[3] == '| title of b | 24.0 ± 5.7 | 60.0 | 4.0 ± 0.0 |'
        assert lines[5] == '| difference | kNN, patch mean | linear, patch mean |'
        # Seed by seed: 10 and 6; no seed has both linear accuracies.
        assert lines[7] == '| title of a *minus* title of b | +8.0 ± 2.8 | - |'
        # What one stage alone is measured by is no column.
        assert lines[8:] == ['', 'title of t: mIoU 8.0 ± 1.4 %.']

    def test_one_run(self):
        lines = table(RUNS[:1], [('a', 'b')]).splitlines()
        assert '| title of a *minus* title of b | +10.0 |' in lines

    def test_the_minutes_of_the_teacher_count(self, tmp_path):
        found = chain('methods_shapes', tmp_path)
        seconds = {'images': 7, 'clip': 120, 'cae-all': 60, 'mae': 30, 'probe-cae-all': 11}
        for name in (*seconds, 'probe-mae'):
            folder = found.folder(name)
            folder.mkdir()
            (folder / 'stage.json').write_text('{}')
            (folder / 'seconds.json').write_text(str(seconds.get(name, 0)))
            if name.startswith('probe'):
                (folder / 'results.json').write_text(json.dumps({'knn': 25.0}))
        rows = compare(found)
        minutes = {row.stage: row.minutes for row in rows}
        assert minutes == {'probe-cae-all': 3.0, 'probe-mae': 0.5}
        assert draw_results([rows], tmp_path / 'a.png').stat().st_size > 1000
        assert draw_results([rows[:1]], tmp_path / 'b.png') is None


@pytest.mark.parametrize('value', [(256, 256), [1, 2], ((1, 2), [3.0, 'a']), (1,), 'text', None, True, 0.5])
def test_options_reach_a_stage_as_they_are_written(value, tmp_path):
    """Tuples stay tuples: some transforms take a size that is one, and no list."""
    file = tmp_path / 'chain.py'
    file.write_text(
        "title, introduction, work_dir = 'a', 'b', 'c'\n"
        f"stages = [dict(name='a', title='a', config='configs/demo/x.py', options={{'model.x': {value!r}}})]\n"
    )
    found = read_chain(str(file))
    assert found['a'].options == {'model.x': value}
    words = [word for part in stage_command(found, found['a'], Launch()) for word in part]
    text = next(word for word in words if word.startswith('model.x=')).removeprefix('model.x=')
    read = DictAction._parse_iterable(text)
    assert read == value and type(read) is type(value)
