"""Curves of several runs beside one another."""

import json

import cv2
import pytest
from tool_scripts import load_tool

from mmimg2vec.chain.report.training_curves import read_runs, table_of_runs
from mmimg2vec.errors import UserError


def write_run(folder, slope):
    records = [
        dict(step=step, iter=step, loss=1 - slope * step, target_diversity=0.5, prediction_diversity=0.4,
             prediction_cosine=slope * step)
        for step in range(1, 4)
    ]  # fmt: skip
    records.append({'step': 3, 'knn/accuracy_cls_token': 30.0})
    (folder / 'time' / 'vis_data').mkdir(parents=True)
    (folder / 'time' / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, records)))
    return folder


def test_first_and_last_values(tmp_path):
    runs = read_runs({'healthy': write_run(tmp_path / 'a', 0.1), 'flat': write_run(tmp_path / 'b', 0.0)})
    lines = table_of_runs(runs).splitlines()
    assert lines[2] == '| healthy | 0.9 -> 0.7 | 30 -> 30 | 0.5 -> 0.5 | 0.4 -> 0.4 | 0.1 -> 0.3 |'
    assert lines[3].startswith('| flat | 1 -> 1 |')


def test_the_tool(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / 'run', 0.1)
    out = tmp_path / 'new' / 'curves.png'
    arguments = ['training_curves.py', f'mine={tmp_path}/run', str(tmp_path / 'run'), '--out', str(out)]
    monkeypatch.setattr('sys.argv', arguments)
    load_tool('analysis_tools/training_curves').main()
    said = capsys.readouterr().out
    assert '| mine |' in said and '| run |' in said
    picture = cv2.imread(str(out))
    assert picture.shape == (640, 900, 3) and picture.std() > 5


def test_no_run(tmp_path):
    with pytest.raises(UserError, match='holds no run'):
        read_runs({'x': tmp_path})
