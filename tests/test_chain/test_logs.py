"""What is read from the files of a stage."""

import json

from mmimg2vec.chain.logs import curve, failure_reason, final_metrics, progress, read_scalars

CONSOLE = """
11/21 10:00:00 - mmengine - INFO - Epoch(train) [2][ 50/75]  lr: 1e-03  eta: 1 day, 0:01:36  loss: 0.8954  loss_ce: 0.6
11/21 10:00:01 - mmengine - INFO - Saving checkpoint at 2 epochs
"""


def test_progress(tmp_path):
    console = tmp_path / 'console.log'
    assert progress(console) == ''
    console.write_text(CONSOLE)
    assert progress(console) == 'epoch 2, 50/75, loss 0.8954, 1 day, 0:01:36 left'
    with console.open('a') as file:
        file.write('11/21 - mmengine - INFO - Epoch(val) [2][19/19]    mIoU: 7.58  time: 0.7\n')
    assert progress(console) == 'epoch 2, 19/19, validation'
    console.write_text('11/21 - mmengine - INFO - Iter(train) [ 200/160000]  eta: 0:10:00  loss: 1.5\n')
    assert progress(console) == 'iter 200/160000, loss 1.5, 0:10:00 left'


def test_failure_reason(tmp_path):
    console = tmp_path / 'console.log'
    assert failure_reason(console) == 'it said nothing'
    console.write_text('loading\nmmimg2vec: error: no data folder x: set data_root\nsome trace\n')
    assert failure_reason(console) == 'mmimg2vec: error: no data folder x: set data_root'
    # Of an earlier attempt, or of torchrun.
    console.write_text('$ first\nmmimg2vec: error: old\n$ second\n[rank0]: RuntimeError: new\nx.ChildFailedError:\n')
    assert failure_reason(console) == 'RuntimeError: new'
    console.write_text('Traceback (most recent call last):\n  File "a.py"\nKeyError: 4\nbye\n')
    assert failure_reason(console) == 'KeyError: 4'


def test_the_last_attempt_counts_however_long_its_log(tmp_path):
    console = tmp_path / 'console.log'
    console.write_text('KeyError: first\n')
    assert failure_reason(console) == 'KeyError: first'
    console.write_text('$ one\nKeyError: old\n$ two\nKeyError: first\n')
    assert failure_reason(console) == 'KeyError: first'
    console.write_text('$ one\nKeyError: old\n' + 'a line\n' * 10000 + 'one\ntwo\nthree\nfour\n')
    assert failure_reason(console) == 'two | three | four'


def write_attempt(folder, name, records):
    path = folder / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(record) for record in records) + '\n{"loss": 0.')


def test_attempts_are_joined_where_the_next_one_resumed(tmp_path):
    first = [dict(loss=9 - i, iter=i, step=i) for i in range(10, 60, 10)]
    write_attempt(tmp_path, '20261121_100000', first)
    second = [dict(loss=0.5, iter=40, step=40), dict(mIoU=7.5, step=4), dict(mIoU=8.5, step=8)]
    write_attempt(tmp_path, '20261121_110000', second)
    steps, values = curve(read_scalars(tmp_path), 'loss')
    assert steps == [10, 20, 30, 40]
    assert values[-1] == 0.5
    assert final_metrics(tmp_path) == {'mIoU': 8.5}


def test_results_of_tests_and_probes(tmp_path):
    test = tmp_path / '20261121_100000'
    test.mkdir()
    (test / '20261121_100000.json').write_text(json.dumps({'coco/bbox_mAP': 0.25}))
    (tmp_path / 'results.json').write_text(json.dumps({'knn': 40.0}))
    assert final_metrics(tmp_path) == {'coco/bbox_mAP': 25.0, 'knn': 40.0}


def test_a_curve_has_the_last_value_of_each_step_in_their_order():
    records = [
        *(dict(step=20, loss=2), dict(step=10, loss=3.0), dict(step=20, loss=1.5)),
        *(dict(loss=4), dict(step=30, loss='nan'), dict(step=40)),
    ]
    assert curve(records, 'loss') == ([0, 10, 20], [4.0, 3.0, 1.5])
    assert curve(records, 'accuracy') == ([], [])
