"""What is noted of a stage, and what of a chain decides whether it still holds."""

import os

import pytest

from mmimg2vec.chain import records
from mmimg2vec.errors import UserError


def settings(toy, name, **more):
    chain = toy.read(**more)
    return records.settings_of(chain, chain[name])


def test_settings_of_earlier_stages_are_settings_of_the_later_one(toy):
    b = toy.stage('b', needs=['a'])
    toy.write(toy.stage('a'), b, toy.stage('c'))
    before = {name: settings(toy, name) for name in 'abc'}
    assert len(set(before.values())) == 3
    toy.write(toy.stage('a', seconds=1.0), b, toy.stage('c'))
    after = {name: settings(toy, name) for name in 'abc'}
    assert [after[name] != before[name] for name in 'abc'] == [True, True, False]


def test_a_chain_that_is_moved_keeps_its_settings(toy):
    toy.write(toy.stage('a'), toy.stage('b', env=dict(FROM='{a}/x')))
    before = settings(toy, 'b')
    assert settings(toy, 'b', work_dir=str(toy.folder / 'elsewhere')) == before
    assert settings(toy, 'b', seed=1) != before
    toy.write(toy.stage('a'), toy.stage('b', env=dict(FROM='{a}/y')))
    assert settings(toy, 'b') != before


def test_a_record_says_how_the_stage_was_done(toy):
    toy.write(toy.stage('a'))
    chain, folder = toy.read(), toy.work_dir / 'a'
    folder.mkdir(parents=True)
    assert records.read_record(folder) is None and not records.is_finished(chain, chain['a'])
    assert records.read_seconds(folder) == 0
    records.write_seconds(folder, 2.34)
    records.write_record(folder, chain['a'], settings(toy, 'a'), 'python step.py')
    record = toy.record('a')
    assert (record['stage'], record['command'], record['seconds']) == ('a', 'python step.py', 2.3)
    assert records.is_finished(chain, chain['a'])
    assert sorted(path.name for path in folder.iterdir()) == ['seconds.json', 'stage.json']
    (folder / 'stage.json').write_text('{"stage":')
    with pytest.raises(UserError, match=r'stage\.json is not readable JSON: delete it'):
        records.read_record(folder)
    (folder / 'seconds.json').write_text('')
    assert records.read_seconds(folder) == 0


@pytest.mark.parametrize('there', [('begun',), ('epoch_1.pth',), ('begun', 'epoch_1.pth')])
def test_only_a_checkpoint_of_other_settings_is_no_start(toy, there):
    toy.write(toy.stage('a'))
    chain, folder = toy.read(), toy.work_dir / 'a'
    folder.mkdir(parents=True)
    for name in there:
        (folder / name).write_text('other')
    if len(there) == 2:
        with pytest.raises(UserError, match='begun with other settings'):
            records.check_interrupted(chain, chain['a'])
        records.record_start(chain, chain['a'])
    records.check_interrupted(chain, chain['a'])


def test_the_environment_of_a_stage_is_that_of_its_config_alone(toy, monkeypatch):
    monkeypatch.setenv('TOY_GIVEN', 'before')
    monkeypatch.delenv('TOY_NEW', raising=False)
    config = toy.folder / 'config.py'
    config.write_text("values = ['{{$TOY_GIVEN:}}', '{{$TOY_NEW:}}']\n")  # an import would be another kind of config
    toy.write(dict(name='a', config=str(config), env=dict(TOY_GIVEN='1', TOY_NEW='2'), options={'more': [3]}))
    stage = toy.read()['a']
    cfg = records.read_config(stage)
    assert (cfg['values'], cfg.more) == (['1', '2'], [3])
    cfg.more.append(4)
    assert stage.options == {'more': [3]}
    assert (os.environ['TOY_GIVEN'], os.environ.get('TOY_NEW')) == ('before', None)
