"""Diversity of teachers against the results of their students."""

import json

import pytest

from mmimg2vec import UserError
from mmimg2vec.chain.report.correlation import (
    correlation_table,
    draw_correlation,
    rank_correlations,
    read_outcomes,
)


def write_run(folder, diversities, knn, unfinished=()):
    """A run of the experiment as its chain leaves it: student's kNN by teacher, and mIoU of the first."""
    (folder / 'diversity').mkdir(parents=True)
    rows = [dict(teacher=name, diversity=value, effective_rank=10.0) for name, value in diversities.items()]
    rows.append(dict(teacher='broken', diversity=None, effective_rank=None))
    (folder / 'diversity' / 'teachers.json').write_text(json.dumps(dict(teachers=rows)))
    for name, value in knn.items():
        stage = folder / f'probe-{name}'
        stage.mkdir()
        (stage / 'results.json').write_text(json.dumps(dict(knn=value, linear=2 * value)))
        if name not in unfinished:
            (stage / 'stage.json').write_text('{}')


@pytest.fixture
def folder(tmp_path):
    diversities = {'high': 0.9, 'middle': 0.5, 'low': 0.1}
    knn = {'high': 30.0, 'middle': 20.0, 'low': 10.0, 'untrained': 5.0}
    write_run(tmp_path / 'seed0', diversities, knn)
    write_run(tmp_path / 'seed1', diversities, {**knn, 'high': 15.0, 'untrained': 7.0})
    return tmp_path


def test_correlations_are_of_each_run(folder):
    found = rank_correlations(read_outcomes(folder), 'diversity', 'knn')
    assert found == {'seed0': pytest.approx(1.0), 'seed1': pytest.approx(0.5)}
    # A predictor that is the same for all teachers ranks none, and mIoU was not measured.
    assert rank_correlations(read_outcomes(folder), 'effective_rank', 'knn') == {}
    assert rank_correlations(read_outcomes(folder), 'diversity', 'mIoU') == {}


def test_table_ranks_by_diversity_and_ends_with_the_untrained_student(folder):
    lines = correlation_table(read_outcomes(folder)).splitlines()
    names = [line.split(' | ')[0].strip('| ') for line in lines[2:6]]
    assert names == ['high', 'middle', 'low', 'untrained']
    assert '0.900 ± 0.000 | 10.000 ± 0.000 | 22.5 ± 10.6 | 45.0 ± 21.2 | - |' in lines[2]
    assert '| - | - | 6.0 ± 1.4 |' in lines[5]
    assert '| token diversity | +1.00, +0.50 | +1.00, +0.50 | - |' in lines


def test_what_is_not_finished_does_not_count(tmp_path):
    write_run(tmp_path / 'seed0', {'a': 0.5, 'b': 0.4}, {'a': 1.0, 'b': 2.0}, unfinished=('b',))
    measured = {o.teacher: o.metrics for o in read_outcomes(tmp_path)}
    assert measured == {'a': {'knn': 1.0, 'linear': 2.0}, 'b': {}, 'untrained': {}}


def test_plot(folder):
    draw_correlation(read_outcomes(folder), folder / 'plot.png')
    assert (folder / 'plot.png').stat().st_size > 10_000


def test_nothing_measured_yet(tmp_path):
    with pytest.raises(UserError, match=r'teachers\.json: run tools/experiment\.py'):
        read_outcomes(tmp_path)
