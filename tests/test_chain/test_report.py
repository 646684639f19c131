"""The numbers of a report: which stages stand beside one another, and what the tables say of several runs."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from mmengine.structures import BaseDataElement, InstanceData

from mmimg2vec.chain import read_chain
from mmimg2vec.chain.report import figures, page, pictures
from mmimg2vec.chain.report.page import to_html
from mmimg2vec.chain.report.results import (
    Comparison,
    as_json,
    compare,
    format_mean,
    metric_name,
    pairs,
    shared_metrics,
    table,
    write_json,
)
from mmimg2vec.errors import UserError
from mmimg2vec.visualization.figures import save_figure

CHAIN = """
stages = [
    dict(name='images', command='tools/images.py'),
    dict(name='teacher', config='a.py', needs=['images']),
    dict(name='scratch', title='S', config='c.py', baseline_of='detect'),
    dict(name='pretrain', config='b.py', needs=['teacher']),
    dict(name='detect', title='Detection', config='c.py', needs=['pretrain']),
    dict(name='probe', title='Probe', command='tools/probe.py', needs=['pretrain']),
]
"""


@pytest.fixture
def chain(tmp_path):
    (tmp_path / 'chain.py').write_text(CHAIN)
    chain = read_chain(str(tmp_path / 'chain.py'), str(tmp_path / 'work'))
    for number, stage in enumerate(chain.stages):
        folder = chain.folder(stage)
        folder.mkdir(parents=True)
        (folder / 'stage.json').write_text('{}')
        (folder / 'seconds.json').write_text(str(60.0 * 10**number))
    results(chain, 'detect', {'coco/bbox_mAP': 30.0, 'coco/segm_mAP': 20.0})
    results(chain, 'scratch', {'coco/bbox_mAP': 25.0})
    results(chain, 'probe', {'linear': 50.0, 'knn_cls': 40.0})
    return chain


def results(chain, name, values):
    (chain.folder(name) / 'results.json').write_text(json.dumps(values))


def test_stages_stand_beside_their_baselines(chain):
    found = [(stage.name, baseline and baseline.name) for stage, baseline in pairs(chain)]
    expected = dict.fromkeys(('images', 'teacher', 'pretrain', 'detect', 'probe'))
    assert dict(found) == {**expected, 'detect': 'scratch'}


def test_comparisons_of_the_finished_stages(chain):
    # Minutes: of teacher, pre-training and detector, whose numbers in the chain are 1, 3 and 4; commands do not count.
    behind = 10 + 1000
    assert compare(chain) == [
        Comparison('detect', 'Detection', 'coco/bbox_mAP', 30.0, 25.0, behind + 10000),
        Comparison('detect', 'Detection', 'coco/segm_mAP', 20.0, None, behind + 10000),
        Comparison('probe', 'Probe', 'knn_cls', 40.0, None, behind),
        Comparison('probe', 'Probe', 'linear', 50.0, None, behind),
    ]
    (chain.folder('detect') / 'stage.json').unlink()
    rows = compare(chain)
    assert (rows[0].value, rows[0].baseline) == (None, 25.0) and len(rows) == 3


def test_rows_as_json(chain, tmp_path):
    rows = compare(chain)
    write_json(tmp_path / 'rows.json', rows)
    assert json.loads((tmp_path / 'rows.json').read_text()) == as_json(rows)
    assert as_json(rows)[0]['measure'] == 'box AP' == metric_name('coco/bbox_mAP')
    assert as_json(rows)[0]['value'] == 30.0 and metric_name('linear') == 'linear, patch mean'


def test_mean_and_deviation():
    assert [format_mean(numbers) for numbers in ([], [2.04], [1, 2, 3])] == ['-', '2.0', '2.0 ± 1.0']
    assert format_mean([1.5], sign='+') == '+1.5' and format_mean([-1.0, 1.0], '+', 2) == '+0.00 ± 1.41'


def row(stage, key, value, baseline=None, minutes=0.0):
    return Comparison(stage, stage.title(), key, value, baseline, minutes)


def test_table_of_several_runs():
    runs = [
        [row('a', 'mIoU', 10.0, 4.0), row('b', 'knn', 5.0)],
        [row('a', 'mIoU', 14.0, 7.0), row('b', 'knn', None)],
        # Without its baseline it counts as a result, and not as a difference.
        [row('a', 'mIoU', 12.0, None)],
    ]
    assert table(runs).splitlines()[2:] == [
        '| A | mIoU | 12.0 ± 2.0 | 5.5 ± 2.1 | +6.5 ± 0.7 |',
        '| B | kNN, patch mean | 5.0 | - | - |',
    ]


def test_table_of_stages_beside_each_other():
    runs = [
        [row('a', 'knn', 10.0, minutes=3), row('b', 'knn', 4.0, minutes=1), row('a', 'mIoU', 7.0, minutes=3)],
        [row('a', 'knn', 12.0, minutes=5), row('b', 'knn', None), row('c', 'knn', 1.0, minutes=2)],
    ]
    keys, titles, lone = shared_metrics(runs)
    assert (keys, titles) == (['knn'], {'a': 'A', 'b': 'B', 'c': 'C'})
    assert [(one.stage, one.key) for one in lone] == [('a', 'mIoU')]
    assert table(runs, [('a', 'b'), ('b', 'gone'), ('c', 'a')]).splitlines() == [
        '| | kNN, patch mean | minutes of training |',
        '|---|---|---|',
        '| A | 11.0 ± 1.4 | 4.0 ± 1.4 |',
        '| B | 4.0 | 0.5 ± 0.7 |',
        '| C | 1.0 | 2.0 |',
        '',
        '| difference | kNN, patch mean |',
        '|---|---|',
        '| A *minus* B | +6.0 |',
        '| C *minus* A | -11.0 |',
        '',
        'A: mIoU 7.0 %.',
    ]


NAMES = ['<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '"><b>', '[x](javascript:alert(1))', '&lt;']


@pytest.mark.parametrize('name', NAMES)
def test_names_are_no_html(tmp_path, name):
    """File names, class names and what stage.json says are whatever somebody wrote there."""
    page = to_html(f'# {name}\n\n{name}\n\n| stage | command |\n|---|---|\n| {name} | `{name}` |\n', name, tmp_path)
    body = page[page.index('<body>') :]
    assert not re.search('<(script|img|b)\\b', page) and 'href="javascript' not in page
    assert 'alert(1)' in body if 'alert' in name else True
    assert 'name="viewport" content="width=device-width' in page and 'prefers-color-scheme: dark' in page


def test_text_of_a_figure_can_be_read(tmp_path):
    figure = Figure(dpi=100)
    axes = figure.subplots()
    axes.set_title('small', fontsize=5)
    axes.text(0.5, 0.5, 'tiny', fontsize=2)
    axes.tick_params(labelsize=4)
    save_figure(figure, tmp_path / 'figure.png')
    assert min(text.get_fontsize() for text in figure.findobj(Text)) * 100 / 72 >= 12


def test_panels_stand_in_rows_that_a_page_shows_whole():
    figure, panels = figures._panels(8, 3, (3.6, 2.8))
    assert len(panels) == len(figure.axes) == 8 and figure.get_size_inches().tolist() == [3.6 * 3, 2.8 * 3]


def test_a_change_of_nothing_looks_like_none():
    axes = Figure().subplots()
    figures._plot(axes, [1, 2], [28.75, 29.2], 'red', None)
    assert axes.lines[0].get_linestyle() == 'None' and axes.lines[0].get_marker() == 'o'
    figures._keep_proportion(axes, 10.0)
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(10) and low < 28.75 < 29.2 < high
    axes = Figure().subplots()
    figures._plot(axes, [1, 2, 3], [0.0, 40.0, 60.0], 'red', None)
    before = axes.get_ylim()
    figures._keep_proportion(axes, 10.0)
    assert axes.lines[0].get_linestyle() == '-' and axes.get_ylim() == before


LOAD, RESIZE = dict(type='mmdet.LoadAnnotations', with_bbox=True), dict(type='mmdet.Resize', scale=(50, 50))


@pytest.mark.parametrize(('pipeline', 'resized'), [([LOAD, RESIZE], True), ([RESIZE, LOAD], False), ([LOAD], False)])
def test_true_boxes_are_drawn_where_they_are(monkeypatch, pipeline, resized):
    """Boxes that are loaded after the image was resized are in the image's own pixels already."""
    dataset = dict(type='mmdet.CocoDataset', pipeline=pipeline)
    assert pictures._truth_is_resized(dict(type='Wrapper', dataset=dataset)) == resized
    own = torch.tensor([[10.0, 20.0, 60.0, 80.0]])
    sample = BaseDataElement(metainfo=dict(scale_factor=(0.5, 0.25), truth_is_resized=resized))
    factors = torch.tensor([0.5, 0.25, 0.5, 0.25]) if resized else 1.0
    sample.gt_instances = InstanceData(labels=torch.tensor([0]), bboxes=own * factors)
    monkeypatch.setattr(pictures, '_image', lambda _: np.zeros((100, 100, 3), np.uint8))
    axes = Figure().subplots()
    pictures._draw_instances(axes, sample, ('ball',), truth=True)
    assert axes.lines[0].get_xydata()[[0, 2]].flatten().tolist() == own[0].tolist()


def test_curves_in_words(monkeypatch):
    records = [{'loss': 4.0, 'step': 1}, {'loss': 1.25, 'step': 2}, {'accuracy/top1': 28.0, 'step': 2}]
    monkeypatch.setattr(figures, 'read_scalars', lambda folder: records)
    chain, stage = SimpleNamespace(folder=lambda stage: None), SimpleNamespace(title='Classification')
    assert figures.describe_curves(chain, stage, None).startswith(
        'Curves of Classification: training loss from 4 to 1.25'
    )


@pytest.mark.parametrize(
    ('keys', 'kind'),
    [
        (('pred_instances',), 'instances'),
        (('gt_sem_seg', 'pred_sem_seg'), 'map'),
        (('gt_label', 'pred_label'), 'class'),
    ],
)
def test_what_a_model_predicts(keys, kind):
    assert pictures._kind(BaseDataElement(**dict.fromkeys(keys, 0))) == kind


def test_pictures_that_cannot_be_drawn_leave_the_numbers(tmp_path, monkeypatch):
    chain = SimpleNamespace(folder=lambda stage: tmp_path / stage.name)
    stage = SimpleNamespace(name='detect', title='Detection')
    (tmp_path / 'detect').mkdir()
    monkeypatch.setattr(page, 'draw_curves', lambda *_: None)
    drawn = [None, tmp_path / 'drawn.png']
    monkeypatch.setattr(page, 'draw_predictions', lambda *_: drawn.pop(0))
    assert page._stage(chain, stage, None, tmp_path) == []  # it has not run
    monkeypatch.setattr(page, 'read_record', lambda folder: {})
    assert page._stage(chain, stage, None, tmp_path) == []
    title, text, picture = page._stage(chain, stage, None, tmp_path)
    assert title == '## Detection' and text.startswith('Validation images') and 'drawn.png' in picture

    def gone(*_):
        raise UserError('no checkpoint x.pth: check the path')

    monkeypatch.setattr(page, 'draw_predictions', gone)
    reason = 'No pictures of detect: UserError: no checkpoint x.pth: check the path'
    assert page._stage(chain, stage, None, tmp_path) == ['## Detection', reason]
