import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import benchmark
import benchmark_guards
import pytest
import torch
from benchmarking import entries as entries_module
from benchmarking.clock import PARTS, MatrixProduct, Timeline, quartiles
from benchmarking.entries import CONFIGS, ROWS, Entry, Setting, read
from benchmarking.growth import grow, variants
from benchmarking.measure import Row, Table, draw_images, measure
from benchmarking.report import draw_growth
from benchmarking.stepping import with_loops
from mmengine.config import Config
from mmpretrain import __file__ as mmpretrain_file

from mmimg2vec.errors import UserError

SIDE = 64
ARCH = dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=96)
ARCH_OPTION = {'model.backbone.arch': {'_delete_': True, **ARCH}}
MAE = {
    **ARCH_OPTION,
    'model.neck.embed_dim': 48,
    'model.neck.decoder_embed_dim': 32,
    'model.neck.decoder_depth': 1,
    'model.neck.decoder_num_heads': 2,
}
IMG2VEC = {
    **ARCH_OPTION,
    'model.fusion.blocks': (0, 1),
    'model.neck.embed_dims': 32,
    'model.neck.depth': 1,
    'model.neck.num_heads': 2,
    'model.target_generator.teacher.depth': 18,
}
SETTING = Setting(views=4, precision='float32', images='', workers=1)


def tiny(name, config='img2vec', options=IMG2VEC):
    return Entry(name, config, options, side=SIDE)


@pytest.fixture(scope='module')
def tables():
    rows = [tiny('mae', 'mae', MAE), tiny('one'), tiny('the same'), replace(tiny('two masks'), masks=2)]
    return measure(rows, SETTING, rounds=7, end_to_end=1)


def mae_macs(visible, patches):
    """Of an image: forward and backward of the tiny MAE, by hand."""

    def block(width, hidden, tokens):
        return tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width

    embedding = patches * 16 * 16 * 3 * 48
    encoder = 2 * block(48, 96, visible + 1)
    decoder = (visible + 1) * 48 * 32 + block(32, 4 * 32, patches + 1) + (patches + 1) * 32 * 16 * 16 * 3
    return 2 * embedding + 3 * (encoder + decoder)  # nobody asks for the gradient of the images


def test_multiply_adds_are_those_of_the_formula(tables):
    mae, one, same, two = tables['step'].rows
    assert mae.macs / mae.views == pytest.approx(mae_macs(visible=4, patches=16), rel=0.01)
    assert one.macs == same.macs > two.macs > one.macs / 2  # the teacher sees half the images
    assert [row.macs for row in tables['end_to_end'].rows] == [row.macs for row in tables['step'].rows]


def test_a_config_beside_itself_has_a_ratio_near_one(tables):
    _, one, same, _ = tables['step'].rows
    low, middle, high = same.ratio(one)
    assert low <= middle <= high
    assert 0.6 < middle < 1.6  # other work on the machine, steps of milliseconds


def test_parts_are_found_and_add_up_to_the_step(tables):
    for title, table in tables.items():
        for row in table.rows:
            assert (row.images, row.views) == (2 if row.name == 'two masks' else 4, 4)
            for parts, seconds in zip(row.parts, row.seconds, strict=True):
                assert list(parts) == list(PARTS)
                assert sum(parts.values()) == pytest.approx(seconds)
                without = () if row.name != 'mae' else ('teacher',)
                assert {part for part, value in parts.items() if value == 0} == set(without), (title, row.name)


def test_a_step_lasts_as_long_as_its_parts(tmp_path):
    seen = {}

    def use(loops):
        loop = loops[0]
        loop.step()
        start = time.perf_counter()
        parts = loop.step()
        seen.update(outside=time.perf_counter() - start, inside=sum(parts.values()))
        before = [parameter.clone() for parameter in loop.runner.model.backbone.parameters()]
        loop.step(load=True)
        after = loop.runner.model.backbone.parameters()
        seen['trained'] = any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))

    setting = Setting(4, 'float32', draw_images(tmp_path, 8))
    with_loops([tiny('one')], setting, tmp_path / 'runs', use)
    assert seen['inside'] == pytest.approx(seen['outside'], rel=0.2)
    assert seen['trained']


def test_time_belongs_to_the_part_that_was_entered_last():
    with Timeline(torch.device('cpu')) as timeline:
        timeline.enter('teacher')
        time.sleep(0.02)
        timeline.enter('neck')
        timeline.enter('teacher')
        time.sleep(0.02)
    seconds = timeline.seconds()
    assert 0.04 <= seconds['teacher'] < 0.4
    assert sum(seconds.values()) - seconds['teacher'] < 0.02


def test_quartiles_and_ratios():
    assert quartiles([3.0]) == (3, 3, 3)
    assert quartiles([1, 2, 3, 4, 5]) == (2, 3, 4)
    first = Row('a', 4, 4, [1.0, 2.0], macs=8e9)
    other = Row('b', 1, 4, [0.5, 1.0])
    assert other.ratio(first) == (0.5, 0.5, 0.5)
    # Half the time for half the views is the same time per view.
    assert Row('c', 2, 2, [0.5, 1.0]).ratio(first) == (1, 1, 1)
    assert first.peak_share([16e9, 8e9]) == 0.5
    assert other.peak_share([1.0, 1.0]) is None


def test_rate_of_a_matrix_product():
    product = MatrixProduct(torch.device('cpu'), torch.float32, size=64)
    assert product.macs == 64**3
    assert product.rate() > 0


def test_mae_is_as_mmpretrain_ships_it(tmp_path):
    file = Path(mmpretrain_file).parent / '.mim/configs' / CONFIGS['mae'].split('::')[1]
    theirs = Config.fromfile(file)
    ours = read(ROWS['mae'], Setting(256, 'shipped', 'images'), tmp_path)
    same = ('model', 'optim_wrapper', 'data_preprocessor', 'default_hooks', 'param_scheduler', 'train_cfg')
    assert all(ours[key] == theirs[key] for key in same)
    assert ours.train_dataloader.dataset.pipeline == theirs.train_dataloader.dataset.pipeline
    fused = read(ROWS['mae-fused'], Setting(256, 'shipped', 'images'), tmp_path)
    assert fused.optim_wrapper.optimizer == {**theirs.optim_wrapper.optimizer, 'fused': True}


@pytest.mark.parametrize('name', ROWS)
def test_every_row_downloads_nothing_and_has_its_views(name, tmp_path):
    cfg = read(ROWS[name], Setting(8, 'float32', 'images'), tmp_path)
    assert cfg.train_dataloader.batch_size * (ROWS[name].masks or 1) == 8
    assert ('masks_per_image=4' in cfg.pretty_text) == ('-k4' in name)
    text = str(cfg.model)
    assert 'http' not in text and 'Pretrained' not in text
    assert cfg.optim_wrapper.get('dtype', 'float32') == 'float32'


def test_eva_and_milan_run_with_a_clip_of_random_weights(monkeypatch):
    sizes = dict(vision_layers=1, vision_width=64, context_length=4, vocab_size=8, transformer_width=64)
    monkeypatch.setattr(entries_module, 'CLIP_SIZES', {**entries_module.CLIP_SIZES, **sizes, 'transformer_layers': 1})
    rows = [Entry('eva', 'eva', MAE), Entry('milan', 'milan', {**ARCH_OPTION, 'model.neck.embed_dim': 48})]
    table = measure(rows, Setting(2, 'float32', ''), rounds=1)['step']
    assert all(row.parts[0]['teacher'] > 0 and row.macs > 0 for row in table.rows)


def test_views_that_are_no_whole_number_of_images(tmp_path):
    with pytest.raises(UserError, match='10 views of img2vec-k4 are no whole number of images with 4 masks each'):
        read(ROWS['img2vec-k4'], Setting(10, 'float32', ''), tmp_path)


def test_entries_of_the_command_line():
    entry = Entry.parse(['mine', 'mae', 'optim_wrapper.optimizer.fused=True', 'a.b=[1,2]'])
    assert (entry.name, entry.config) == ('mine', 'mae')
    assert entry.options == {'optim_wrapper.optimizer.fused': True, 'a.b': [1, 2]}
    with pytest.raises(UserError, match='--config mine names no config'):
        Entry.parse(['mine'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['nothing'], 'no row nothing: there are mae, mae-large, '),
        (['mae', 'mae'], 'give each a name of its own'),
        (['mae', '--over', 'eva'], '--over names of these'),
    ],
)
def test_mistakes_of_the_command_line(options, message):
    with pytest.raises(UserError, match=message):
        benchmark.run(benchmark.parse_args(options))


def test_time_grows_with_tokens_as_the_operations_do_or_is_said_to_grow_faster(tmp_path):
    rows = grow([tiny('mae', 'mae', MAE)], 'tokens', Setting(2, 'float32', ''), rounds=2, sides=(32, 64))
    assert [row['name'] for row in rows] == ['mae, 32 px', 'mae, 64 px']
    first, second = rows
    assert (first['operations'], first['time'], first['excess']) == (1, (1, 1, 1), 1)
    assert second['operations'] == pytest.approx(mae_macs(4, 16) / mae_macs(1, 4), rel=0.02)
    assert second['excess'] == pytest.approx(second['time'][1] / second['operations'])
    assert [row['point'] for row in rows] == ['32 px', '64 px']
    assert draw_growth(dict(growth=rows), tmp_path / 'growth.png').stat().st_size > 1000


def test_variants():
    batches = variants(Entry('a', 'mae'), 'batch', SETTING)
    assert [entry.views for entry in batches] == [4, 8, 16]
    models = variants(Entry('a', 'img2vec'), 'model', SETTING)
    assert [entry.config for entry in models] == ['img2vec-small', 'img2vec', 'img2vec-large']
    assert variants(Entry('a', 'eva'), 'model', SETTING) == []


def test_command_writes_json_and_figure(tmp_path, monkeypatch, capsys):
    figures, picture = tmp_path / 'new' / 'figures.json', tmp_path / 'speed.png'
    monkeypatch.setitem(entries_module.ROWS, 'mae', tiny('mae', 'mae', MAE))
    options = [
        'mae',
        '--views',
        '2',
        '--rounds',
        '1',
        '--side',
        str(SIDE),
        '--memory',
        '--over',
        'mae',
        '--device',
        'cpu',
    ]
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *options, '--json', str(figures), '--figure', str(picture)])
    benchmark.main()
    result = json.loads(figures.read_text())
    assert result['machine']['command'] == ' '.join(sys.argv)
    assert (result['setting']['views'], result['setting']['precision']) == (2, 'float32')
    (row,) = result['tables']['step']['rows']
    assert row['ratio'] == row['ratio_over']['mae'] == [1, 1, 1]
    assert row['images_per_s'] == pytest.approx(2 / row['step_s'])
    assert row['memory_gib'] > 0.001
    assert picture.stat().st_size > 1000
    assert 'per view over mae' in capsys.readouterr().out


def test_guards_are_taken_out_of_the_first_row_alone():
    bare, guarded = benchmark_guards.entries('img2vec', **IMG2VEC)
    kinds = {hook.type for hook in bare.options['custom_hooks']}
    assert kinds.isdisjoint(benchmark_guards.GUARDS) and 'mmimg2vec.RunFolderHook' in kinds
    assert 'custom_hooks' not in guarded.options
    entries = [Entry(entry.name, entry.config, entry.options, side=SIDE) for entry in (bare, guarded)]
    table = measure(entries, SETTING, rounds=1)['step']
    assert isinstance(table, Table) and all(row.seconds[0] > 0 for row in table.rows)
