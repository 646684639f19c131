import json
import sys

import benchmark_vitdet as tool
import torch


def test_kept_tensors_are_counted_once_and_weights_not():
    layer = torch.nn.Linear(64, 64, bias=False)
    images = torch.randn(16, 64)
    model = torch.nn.Sequential(layer, torch.nn.Sigmoid(), torch.nn.Linear(64, 64, bias=False))
    # The images, and the sigmoid's output, which both it and the layer after it keep.
    assert tool.kept_for_backward(model, images) * 2**30 == 2 * 16 * 64 * 4


def test_figures_of_all_variants(tmp_path, monkeypatch, capsys):
    json_file = tmp_path / 'new' / 'figures.json'
    options = ['--arch', 'deit-t', '--size', '64', '--steps', '1', '--json', str(json_file)]
    monkeypatch.setattr(sys, 'argv', ['benchmark_vitdet.py', *options])
    tool.main()
    result = json.loads(json_file.read_text())
    assert (result['arch'], result['size'], result['batch']) == ('deit-t', 64, 1)
    assert list(result['figures']) == list(tool.VARIANTS)
    assert all(figure['step_s'] > 0 for figure in result['figures'].values())
    kept = {name: figure['kept_gib'] for name, figure in result['figures'].items()}
    assert kept['the same, with_cp'] < kept['windows and 4 global blocks'] / 2
    assert kept['global, rel_pos=False'] < kept['global']
    assert len(capsys.readouterr().out.splitlines()) >= len(tool.VARIANTS)
