import json
import sys
import warnings
from argparse import Namespace
from types import SimpleNamespace

import gpu_check
import pytest
import torch
from gpu_checks import operators, speed, waits
from gpu_checks.families import check_weights

CPU = torch.device('cpu')


def test_operators_agree_with_themselves_and_a_wrong_one_is_named(monkeypatch):
    found = operators.check_operators(CPU, small=True)
    assert found['failed'] == {}
    assert set(found['differences']) == set(operators.OPERATORS) and max(found['differences'].values()) < 1e-6
    calls = []

    def wrong(device, small):
        calls.append(device)
        return [torch.tensor([1.0, len(calls) * 1.0])]

    def missing(device, small):
        raise RuntimeError('not compiled with GPU support\nand more')

    monkeypatch.setattr(operators, 'OPERATORS', {'wrong': wrong, 'missing': missing})
    failed = operators.check_operators(CPU)['failed']
    assert failed == {'wrong': 'differs by 1.0e+00', 'missing': 'RuntimeError: not compiled with GPU support'}


def test_a_step_that_does_nothing_or_harm():
    model = torch.nn.Linear(2, 2)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    with pytest.raises(ArithmeticError, match='changed no weight'):
        check_weights(model, before)
    model.bias.data.add_(1)
    check_weights(model, before)
    model.bias.data[0] = float('nan')
    with pytest.raises(ArithmeticError, match='1 weights are not finite, bias among them'):
        check_weights(model, before)


def test_waits_are_counted_by_their_warnings():
    class Loop:
        batch, iter, timeline = {}, 0, SimpleNamespace(device=CPU)

        def run_iter(self, index, batch):
            warnings.warn('called a synchronizing CUDA operation', stacklevel=1)
            warnings.warn('something else', stacklevel=1)

    lines = waits.count(Loop())
    assert len(lines) == 4 and all(line.startswith(__file__) for line in lines)


def test_bars():
    rows = [
        dict(name='mae', views_per_s=100.0, peak_share=0.5),
        dict(name='img2vec', views_per_s=250.0, peak_share=0.2),
        dict(name='img2vec-k4', views_per_s=290.0, peak_share=0.24),
    ]
    found = speed._against_bars(dict(tables=dict(step=dict(rows=rows))), False, times=3, share=0.25)
    assert found['missed'] == ['2.90 times the views/s of mae, wanted 3', '24% of the matrix product, wanted 25%']
    assert speed._against_bars(dict(tables=dict(step=dict(rows=rows))), False, times=2.9, share=0.24)['missed'] == []


def test_what_the_table_says_of_a_part():
    assert gpu_check.verdict(dict(error='exit status 1: MemoryError')) == ('failed', 'exit status 1: MemoryError')
    assert gpu_check.verdict(dict(failed={'nms': 'differs'}, summary='x')) == ('failed', 'nms: differs')
    assert gpu_check.verdict(dict(missed=['2 times'], summary='x')) == ('missed', '2 times. x')
    assert gpu_check.verdict(dict(skipped=True, summary='x')) == ('skipped', 'x')
    assert gpu_check.verdict(dict(failed={}, missed=[], summary='x')) == ('ok', 'x')


def test_parts_end_in_time_and_within_ten_minutes():
    assert sum(budget for *_, budget in gpu_check.PARTS.values()) <= 600
    found = gpu_check.run_alone('operators', Namespace(device='cpu', small=True, budget=0.01))
    assert found['error'].startswith('not done after 0 s') and found['seconds'] < 30


def test_a_part_that_fails_is_one_line_and_the_others_go_on(tmp_path, monkeypatch):
    path = tmp_path / 'new' / 'gpu.json'
    parts = {'operators': ('operators:nothing', '', 60), 'fsdp': gpu_check.PARTS['fsdp']}
    monkeypatch.setattr(gpu_check, 'PARTS', parts)
    monkeypatch.setattr(sys, 'argv', ['gpu_check.py', '--device', 'cpu', '--small', '--json', str(path)])
    monkeypatch.setattr(gpu_check, 'run_alone', lambda name, args: run_here(name))

    def run_here(name):
        if name == 'operators':
            return dict(error='AttributeError', seconds=0.0)
        gpu_check.run_part(name, 'cpu', True, tmp_path / 'part.json')
        return dict(json.loads((tmp_path / 'part.json').read_text()), seconds=0.0)

    assert gpu_check.main() == 1
    written = json.loads(path.read_text())
    assert (written['device'], written['small'], list(written['parts'])) == ('cpu', True, ['operators', 'fsdp'])
    assert written['parts']['fsdp']['summary'] == 'torch has no FSDP on the CPU'


@pytest.mark.slow
def test_all_parts_on_the_cpu(tmp_path, monkeypatch):
    path = tmp_path / 'gpu.json'
    monkeypatch.setattr(sys, 'argv', ['gpu_check.py', '--device', 'cpu', '--small', '--json', str(path)])
    assert gpu_check.main() == 0
    parts = json.loads(path.read_text())['parts']
    assert list(parts) == list(gpu_check.PARTS)
    assert set(parts['families']['losses']) == {
        'img2vec',
        'cae_v2',
        'mff',
        'classification',
        'detection',
        'segmentation',
    }
    assert parts['huge']['peak_gib'] > 0
