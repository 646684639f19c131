import sys

import benchmark_loader


def test_prints_the_pipelines_and_their_ratios(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['benchmark_loader.py', '--images', '6', '--rounds', '1', '--size', '500x375'])
    benchmark_loader.main()
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.startswith('500x375 px')
    rows = {line[:34].strip(): [float(number) for number in line[34:].split()] for line in lines}
    assert set(rows) == {
        'OpenCV alone',
        'mmpretrain MAE',
        'mmimg2vec, decoding whole',
        'mmimg2vec',
        'mmimg2vec, shards',
    }
    assert rows['OpenCV alone'][1] == rows['mmimg2vec, decoding whole'][2] == 1
    assert all(value > 0 for row in rows.values() for value in row)
