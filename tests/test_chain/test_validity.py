"""How far a measure of teachers can be believed, on made-up outcomes whose answer is known."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from mmimg2vec.chain import read_chain
from mmimg2vec.chain.report.correlation import Outcome
from mmimg2vec.chain.report.validity import (
    bootstrap,
    composites,
    lineage,
    reliability,
    validities,
    validity_table,
)


def outcomes(worth, measure, noise=0.0, runs=3, **kwargs):
    """Teachers with a true worth; ``measure`` of a teacher's worth; results with noise."""
    rng = np.random.default_rng(0)
    rows = []
    for run in range(runs):
        for name, value in worth.items():
            metrics = {
                key: 20 + scale * (value + noise * rng.normal())
                for key, scale in (('knn', 3.0), ('linear', 10.0), ('mIoU', 1.0))
            }
            rows.append(Outcome(name, f'seed{run}', {'lds': measure(value)}, metrics, **kwargs))
        rows.append(Outcome('untrained', f'seed{run}', {}, dict(knn=1.0, linear=1.0, mIoU=1.0)))
    return rows


WORTH = {f'{letter}-{k}': float(5 * i + k) for i, letter in enumerate('abcdefgh') for k in range(3)}


def test_a_measure_that_is_the_worth_is_validated_and_has_no_regret():
    (row,) = validities(outcomes(WORTH, lambda worth: 2 * worth))
    assert (row.teachers, row.lineages) == (24, 8)
    assert row.correlation == pytest.approx(1) and row.low == pytest.approx(1) and row.validated
    assert row.regret == pytest.approx(0) and row.regret_linear == pytest.approx(0)
    assert 'Validated on these data: LDS.' in validity_table(outcomes(WORTH, lambda worth: 2 * worth))


def test_a_measure_that_points_the_other_way_is_not_and_its_regret_is_all():
    (row,) = validities(outcomes(WORTH, lambda worth: -worth))
    assert row.correlation == pytest.approx(-1) and not row.validated
    assert row.regret_linear == pytest.approx(10 * (max(WORTH.values()) - min(WORTH.values())))
    assert 'use them as filters' in validity_table(outcomes(WORTH, lambda worth: -worth))


def test_signs_turn_a_measure_round():
    rows = [
        Outcome(o.teacher, o.run, {'dse_intra_image': o.measures['lds']} if o.measures else {}, o.metrics)
        for o in outcomes(WORTH, lambda worth: -worth)
    ]
    assert validities(rows)[0].correlation == pytest.approx(1)


def test_random_teachers_alone_make_no_correlation_among_the_trained():
    trained = outcomes({f't{k}': 10.0 + (k * 7) % 5 for k in range(5)}, lambda worth: 1.0 + (worth * 3) % 7)
    random = outcomes({f'r{k}': float(k) for k in range(5)}, lambda worth: 0.1 * worth, trained=False)
    (row,) = validities([*trained, *random])
    names = [o for o in trained if o.run == 'seed0' and o.measures]
    want = spearmanr([o.measures['lds'] for o in names], [o.metrics['linear'] for o in names]).statistic
    assert row.trained == pytest.approx(want)
    assert row.correlation > row.trained


def test_composite_is_the_mean_of_standardized_results():
    rows = outcomes({'a': 1.0, 'b': 2.0, 'c': 6.0}, lambda worth: worth, noise=0.3, runs=1)
    found = composites(rows)['seed0']
    want = 0.0
    for key in ('knn', 'linear', 'mIoU'):
        values = np.array([o.metrics[key] for o in rows if o.measures])
        want = want + (values - values.mean()) / values.std() / 3
    assert list(found.values()) == pytest.approx(list(want))
    # A student without all three results has no composite.
    del rows[0].metrics['mIoU']
    assert set(composites(rows)['seed0']) == {'b', 'c'}


def test_reliability_is_what_the_seeds_leave_of_the_differences():
    rng = np.random.default_rng(1)
    true = rng.normal(size=4000)
    for noise, runs in ((1.0, 2), (1.0, 5), (0.5, 3)):
        scores = {
            f'seed{k}': {str(i): value + noise * rng.normal() for i, value in enumerate(true)} for k in range(runs)
        }
        assert reliability(scores) == pytest.approx(1 / (1 + noise**2 / runs), abs=0.03)
    assert math.isnan(reliability({'seed0': {'a': 1.0, 'b': 2.0}}))
    assert reliability({'s0': {'a': 1.0, 'b': 2.0}, 's1': {'a': 2.0, 'b': 1.0}}) == 0


def test_bootstrap_draws_whole_lineages():
    """Copies of one network are no further evidence: the interval stays as wide."""
    rng = np.random.default_rng(0)
    single = [(str(k), x, x + rng.normal()) for k, x in enumerate(rng.normal(size=8))]
    copies = [(name, x + 1e-6 * k, y + 1e-6 * k) for name, x, y in single for k in range(4)]
    alone = [(f'{name}{k}', x, y) for k, (name, x, y) in enumerate(copies)]
    width = {key: high - low for key, (low, high) in
             dict(single=bootstrap(single), copies=bootstrap(copies), alone=bootstrap(alone)).items()}  # fmt: skip
    assert width['copies'] == pytest.approx(width['single'], rel=0.25)
    assert width['alone'] < 0.7 * width['copies']
    assert bootstrap(single) == bootstrap(single)
    assert all(map(math.isnan, bootstrap(single[:2])))


def test_too_little_is_a_line():
    assert 'no measure can be judged' in validity_table(outcomes({'a': 1.0, 'b': 2.0}, lambda worth: worth))
    one = validity_table(outcomes(WORTH, lambda worth: worth, runs=1))
    assert '| - | +1.00 |' in one and 'Runs: 1.' in one  # no ceiling is known of one run


@pytest.mark.parametrize('data', ['cutouts', 'shapes'])
def test_the_protocol_has_enough_teachers_of_enough_lineages(data, monkeypatch):
    monkeypatch.setenv('IMG2VEC_DATA', data)
    chain = read_chain('configs/chains/protocol_teachers.py')
    names = [stage.name.removeprefix('student-') for stage in chain.stages if stage.name.startswith('student-')]
    families = [lineage(name) for name in names]
    assert len(names) >= 24 and len(set(families)) >= 8
    assert max(map(families.count, families)) <= 4
    assert {f'{kind}-{name}' for kind in ('probe', 'segment') for name in names} < {s.name for s in chain.stages}
    # The seven of the development set are not among them.
    development = read_chain('configs/chains/teachers_shapes.py')
    assert not set(names) & {s.name.removeprefix('student-') for s in development.stages}
