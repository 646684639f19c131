import importlib.util
import sys
from pathlib import Path

PATH = Path(__file__).parents[2] / '.dev_scripts' / 'benchmark_loader.py'


def test_prints_both_pipelines_and_their_ratio(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location('benchmark_loader', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', ['benchmark_loader.py', '--images', '6', '--rounds', '1'])
    module.main()
    lines = capsys.readouterr().out.splitlines()
    ratios = {line[:30].strip(): float(line.split()[-1]) for line in lines if 'mm' in line[:3]}
    assert ratios['mmpretrain MAE'] == 1
    assert ratios['mmimg2vec'] > 0
