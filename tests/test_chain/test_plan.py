"""Reading chain configs, and the commands that come out."""

import shlex
import sys
from pathlib import Path

import pytest

from mmimg2vec.chain import Launch, read_chain, shell_line, stage_command
from mmimg2vec.chain.commands import summary_command
from mmimg2vec.errors import UserError


def write(folder, text):
    path = folder / 'chain.py'
    path.write_text(text)
    return str(path)


TRAINING = """
work_dir = 'work'
env = dict(DATA='images')
gpus = 4
stages = [
    dict(name='pretrain', config='configs/a.py'),
    dict(name='detect', config='configs/b.py', env=dict(BACKBONE='{pretrain}/backbone.pth'), gpus=8,
         options={'model.init': None, 'data.scale': (4, 5)}),
]
"""


def test_placeholders_become_folders_and_needs(tmp_path):
    chain = read_chain(write(tmp_path, TRAINING), work_dir='elsewhere', seed=3)
    detect = chain['detect']
    assert detect.needs == ('pretrain',)
    assert detect.env == {'DATA': 'images', 'BACKBONE': 'elsewhere/pretrain/backbone.pth'}
    assert (detect.gpus, chain['pretrain'].gpus, chain.seed) == (8, 4, 3)


def test_the_seed_is_a_number_in_options_and_text_in_commands(tmp_path):
    text = """
stages = [
    dict(name='train', config='configs/a.py', options={'weights': '{seed}', 'file': 'run{seed}.pth'}),
    dict(name='probe', command='tools/probe.py --seed {seed}', needs='train'),
]
summary = 'tools/sum_up.py {out} --title "two words"'
"""
    chain = read_chain(write(tmp_path, text), seed=3)
    assert chain['train'].options == {'weights': 3, 'file': 'run3.pth'}
    assert chain['probe'].command == ('tools/probe.py', '--seed', '3')
    words = summary_command(chain, tmp_path)
    assert words[1:] == ['tools/sum_up.py', str(tmp_path), '--title', 'two words']
    assert summary_command(read_chain(write(tmp_path, TRAINING)), tmp_path) == []


NEEDS = """
stages = [
    dict(name='a', command='tools/a.py'),
    dict(name='b', command='tools/b.py {a}/x'),
    dict(name='other', command='tools/other.py'),
    dict(name='c', command='tools/c.py', needs=['b']),
    dict(name='d', command='tools/d.py', needs=['other', 'c']),
]
"""


def test_dependents_are_those_of_dependents_too(tmp_path):
    chain = read_chain(write(tmp_path, NEEDS))
    assert chain.with_dependents(['a']) == ['a', 'b', 'c', 'd']
    assert chain.with_dependents(['d', 'other']) == ['other', 'd']
    assert chain.with_dependents([]) == []
    with pytest.raises(UserError, match=r'no stage "x"; it has: a, b, other, c, d'):
        chain.with_dependents(['x'])


def test_selected_stages_keep_the_order_of_the_chain(tmp_path):
    chain = read_chain(write(tmp_path, NEEDS))
    assert [stage.name for stage in chain.select(('d', 'a'))] == ['a', 'd']
    assert chain.select(()) == list(chain.stages)


def test_what_a_chain_takes_where_its_config_is_silent(tmp_path):
    chain = read_chain(write(tmp_path, NEEDS))
    assert (chain.name, chain.title, chain.introduction) == ('chain', 'chain', '')
    assert (chain.seed, chain.jobs, chain.differences, chain.summary) == (0, 1, (), ())
    assert str(chain.work_dir) == 'work_dirs/chain/chain'
    stage = chain['a']
    assert (stage.title, stage.gpus, stage.env, stage.options, stage.needs) == ('a', 1, {}, {}, ())
    assert (stage.baseline_of, stage.makes) == ((), ()) and not stage.config


def test_what_a_chain_config_says(tmp_path):
    text = """
title, introduction, seed, jobs, work_dir = 'T', 'I', 5, 3, 'out'
differences = [('b', 'a')]
stages = [
    dict(name='a', title='First', command=['x.py', 'two words'], makes=['{a}/data', 'more{seed}']),
    dict(name='b', command='y.py {a}/m {b}/own', env=dict(N=1)),
]
"""
    chain = read_chain(write(tmp_path, text))
    assert (chain.title, chain.introduction, chain.seed, chain.jobs) == ('T', 'I', 5, 3)
    assert chain.differences == (('b', 'a'),) and str(chain.folder('b')) == 'out/b'
    a, b = chain.stages
    assert (a.title, a.command, a.makes) == ('First', ('x.py', 'two words'), ('out/a/data', 'more5'))
    assert (b.needs, b.command, b.env) == (('a',), ('y.py', 'out/a/m', 'out/b/own'), {'N': '1'})
    assert read_chain(write(tmp_path, text), seed=0).seed == 0
    assert read_chain(write(tmp_path, text), options={'jobs': 2}).jobs == 2


def test_commands_of_the_launchers(tmp_path):
    chain = read_chain(write(tmp_path, TRAINING))
    env, words = stage_command(chain, chain['detect'], Launch())
    assert words[1:] == [
        *('tools/train.py', 'configs/b.py', '--work-dir', 'work/detect', '--resume', '--seed', '0'),
        *('--cfg-options', 'model.init=None', 'data.scale=(4,5)'),
    ]
    assert env['BACKBONE'] == 'work/pretrain/backbone.pth'
    # What --dry-run prints is the command, whole: a shell reads it as it is meant.
    assert shlex.split(shell_line(env, words))[2:] == words

    _, words = stage_command(chain, chain['detect'], Launch('pytorch'))
    assert words[:5] == ['bash', 'tools/dist_train.sh', 'configs/b.py', '8', '--work-dir']
    _, words = stage_command(chain, chain['detect'], Launch('pytorch', gpus=2))
    assert words[3] == '2'
    env, words = stage_command(chain, chain['detect'], Launch('slurm', partition='big'))
    assert words[:4] == ['bash', 'tools/slurm_train.sh', 'big', 'chain-detect']
    assert words[4:6] == ['configs/b.py', 'work/detect'] and env['GPUS'] == '8'
    assert Path(env['PYTHON']).samefile(sys.executable)  # the jobs have the chain's own


def test_commands_get_a_node_of_their_own_with_slurm(tmp_path):
    text = "stages = [dict(name='probe', command='tools/probe.py a.py')]"
    chain = read_chain(write(tmp_path, text))
    _, words = stage_command(chain, chain['probe'], Launch('slurm', partition='big'))
    assert words[:3] == ['srun', '--partition', 'big'] and words[-1] == 'a.py'
    _, words = stage_command(chain, chain['probe'], Launch('pytorch'))
    assert words[1:] == ['tools/probe.py', 'a.py']


def test_options_reach_mmengine_as_they_were(tmp_path):
    """What is written on the command line is read back as the same values."""
    import argparse

    from mmimg2vec.engine.command_line import Options

    options = {
        'a': None,
        'b': 0.5,
        'c': True,
        'd': [1, 2.5],
        'e': 'text',
        'f': 1e-4,
        'g': ['x', []],
    }
    text = TRAINING.replace("{'model.init': None, 'data.scale': (4, 5)}", repr(options))
    chain = read_chain(write(tmp_path, text))
    _, words = stage_command(chain, chain['detect'], Launch())
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=Options)
    parsed = parser.parse_args(words[words.index('--cfg-options') :]).cfg_options
    assert parsed == options


@pytest.mark.parametrize('value', ['a,b', '007', '1e3', 'true', 'None', 'a b', '[a]', "it's'", ['x', '3'], ['a,b']])
def test_texts_that_would_be_read_as_something_else_are_refused(tmp_path, value):
    text = TRAINING.replace("'model.init': None", f"'model.init': {value!r}")
    with pytest.raises(UserError, match=r'stage "detect": options\["model.init"\]') as error:
        read_chain(write(tmp_path, text))
    assert '\n' not in str(error.value) and repr(value) in str(error.value)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (("name='detect', ", ''), 'every stage needs a name'),
        (("name='detect'", "name='a b'"), 'every stage needs a name'),
        (("name='detect'", "name='pretrain'"), 'two stages of this name'),
        (('{pretrain}', '{pretrian}'), 'needs "pretrian", which is no stage before it'),
        (('gpus=8', 'gpu=8'), 'unknown key "gpu"'),
        (("config='configs/a.py'", ''), 'a config to train, or a command'),
        (('gpus=8', "baseline_of='segment'"), 'the baseline of "segment", which is no stage'),
        (('stages = [', 'steps = ['), 'lists no `stages`'),
        (('gpus=8', 'gpus=0'), 'gpus=0 should be 1 or more'),
        (('gpus = 4', 'jobs = 1.5'), 'jobs=1.5 should be a number'),
        (("config='configs/a.py'", "config='configs/a.py', command='b.py'"), 'a config to train, or a command'),
        (('stages = [', 'stages = [3,'), 'every stage needs a name'),
        (('gpus = 4', 'jobs = 0'), 'jobs=0 should be a number'),
        (('gpus = 4', 'jobs = 1 / 0'), 'ZeroDivisionError'),
        (("config='configs/a.py'", 'command=""'), 'its command is empty'),
        (("config='configs/a.py'", 'command="a \\"b"'), 'its command cannot be read'),
        (("config='configs/a.py'", 'config=["a.py"]'), 'config=.* should be of type str'),
        (("dict(BACKBONE='{pretrain}/backbone.pth')", '"X=1"'), 'env=.* should be of type dict'),
        (("'model.init': None", "'model': dict(init=1)"), 'dotted keys, such as "model.init"'),
        (('gpus = 4', "differences = [('detect', 'segment')]"), 'differences name "segment"'),
        (('gpus = 4', "differences = ['detect']"), "differences='detect' should be pairs"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as error:
        read_chain(write(tmp_path, TRAINING.replace(*change)))
    assert '\n' not in str(error.value)


def test_differences_and_baselines_exclude_each_other(tmp_path):
    text = TRAINING.replace('gpus=8', "baseline_of='pretrain'")
    text += "differences = [('detect', 'pretrain')]"
    with pytest.raises(UserError, match='differences take the place of baseline_of'):
        read_chain(write(tmp_path, text))
