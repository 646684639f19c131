"""The command line of token_diversity.py."""

import json
import sys

import cv2
import numpy as np
import pytest
from tool_scripts import load_tool

from mmimg2vec.engine.command_line import run

TEACHER = """
target_generator = dict(
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8),
    output_stride=16,
    random_weights={seed},
)
"""


@pytest.fixture()
def tool(monkeypatch):
    module = load_tool('analysis_tools/token_diversity')

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['token_diversity.py', *map(str, arguments)])
        try:
            run(module.main)
        except SystemExit as end:
            return end.code
        return 0

    return call


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--pictures', '-1'], 'is below 0'),
        (['--point', '2', '0'], 'is not between 0 and 1'),
        (['--device', 'foo'], '--device foo cannot be used'),
        (['--img-size', '8'], 'images of 8 pixels hold no patch of 16'),
    ],
)
def test_mistakes_of_the_command_line(tool, tmp_path, capfd, options, message):
    assert tool(tmp_path, '--teachers', 'timm:resnet18@random', '--out', tmp_path / 'out', *options) == 2
    assert message in capfd.readouterr().err


def test_table_files_and_exit_status(tool, tmp_path, capfd):
    folder, out = tmp_path / 'images', tmp_path / 'out'
    folder.mkdir()
    rng = np.random.RandomState(0)
    for index in range(4):
        cv2.imwrite(str(folder / f'{index}.png'), rng.randint(0, 256, (40, 40, 3), dtype=np.uint8))
    teachers = []
    for seed in (0, 1):
        path = tmp_path / f'net{seed}.py'
        path.write_text(TEACHER.format(seed=seed))
        teachers.append(path)
    options = ('--out', out, '--img-size', 32, '--device', 'cpu', '--pictures', 1)
    named = (f'first={teachers[0]}', teachers[1])
    assert tool(folder, '--teachers', *named, '--max-images', 3, *options) == 0
    text = capfd.readouterr().out
    assert '| first ' in text and f'| {teachers[1]} ' in text
    assert 'effective rank' in text and '95 % interval' in text and '2 x 2' in text
    stored = json.loads((out / 'teachers.json').read_text())
    assert stored['settings']['images'] == 3 and len(stored['teachers']) == 2
    for name in ('teachers.csv', 'ranking.png', 'stages.png', 'pictures/0_0.png'):
        assert (out / name).is_file(), name

    assert tool(folder, '--teachers', teachers[0], 'dino_resnet5', *options) == 1
    captured = capfd.readouterr()
    assert captured.out.count('net0.py') == 3  # what was worked out, and its row in two tables
    found, first, *undefined, second, line = [
        line for line in captured.err.splitlines() if line.startswith('mmimg2vec:')
    ]
    assert found == 'mmimg2vec: 4 images found'
    assert first.startswith('mmimg2vec: 1/2: ') and second == 'mmimg2vec: 2/2: dino_resnet5'
    assert undefined and all('undefined' in line for line in undefined)  # four images of four tokens
    assert "no teacher 'dino_resnet5'" in line and 'dino_resnet50' in line

    assert tool(tmp_path / 'gone', '--teachers', teachers[0], *options) == 2
    assert 'no image or folder' in capfd.readouterr().err
