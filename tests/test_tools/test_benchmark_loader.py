import sys

import benchmark_loader


def test_prints_both_pipelines_and_their_ratio(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['benchmark_loader.py', '--images', '6', '--rounds', '1'])
    benchmark_loader.main()
    lines = capsys.readouterr().out.splitlines()
    ratios = {line[:30].strip(): float(line.split()[-1]) for line in lines if 'mm' in line[:3]}
    assert set(ratios) == {'mmpretrain MAE', 'mmimg2vec'}
    assert ratios['mmpretrain MAE'] == 1
    assert ratios['mmimg2vec'] > 0
