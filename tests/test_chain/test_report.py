"""The numbers of a report: which stages stand beside one another, and what the tables say of several runs."""

import json

import pytest

from mmimg2vec.chain import read_chain
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
