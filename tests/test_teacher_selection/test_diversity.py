import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.models.utils import token_diversity
from mmimg2vec.teacher_selection import RunningMean, compare, effective_rank
from mmimg2vec.teacher_selection.cost import PeakMemory, count_macs
from mmimg2vec.teacher_selection.figures import token_at
from mmimg2vec.teacher_selection.images import load_image, read_batches, subsample
from mmimg2vec.teacher_selection.measurement import Settings, measure
from mmimg2vec.teacher_selection.table import Row, format_table, ranked, write_csv, write_json

RESNET = "dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)"
SMALL = Settings(img_size=32, batch_size=2)


def by_loop(tokens):
    """The definition: one minus the mean cosine of two different tokens."""
    values = []
    for z in tokens:
        unit = z / z.norm(dim=1, keepdim=True)
        cosines = [(unit[i] @ unit[j]).item() for i in range(len(z)) for j in range(len(z)) if i != j]
        values.append(1 - sum(cosines) / len(cosines))
    return torch.tensor(values, dtype=torch.float64)


class TestMeasures:
    @pytest.mark.parametrize('shift', [0.0, 2.0])
    def test_diversity_is_the_double_loop(self, shift):
        tokens = torch.randn(3, 17, 9, dtype=torch.float64) * 5 + shift
        assert (token_diversity(tokens) - by_loop(tokens)).abs().max() < 1e-6

    def test_ends_of_the_scales(self):
        constant = torch.full((2, 6, 8), 3.0, dtype=torch.float64)
        orthogonal = 7 * torch.eye(8, dtype=torch.float64)[:6].expand(2, -1, -1)
        assert token_diversity(constant).abs().max() < 1e-12
        assert (token_diversity(orthogonal) - 1).abs().max() < 1e-12
        assert (effective_rank(constant) - 1).abs().max() < 1e-9
        assert (effective_rank(orthogonal) - 6).abs().max() < 1e-9

    def test_effective_rank_through_either_matrix(self):
        tokens = torch.randn(2, 12, 5, dtype=torch.float64)
        unit = tokens / tokens.norm(dim=-1, keepdim=True)
        shares = torch.linalg.svdvals(unit).square() / 12
        expected = (-(shares * shares.log()).sum(-1)).exp()
        assert torch.allclose(effective_rank(tokens), expected)
        assert torch.allclose(effective_rank(torch.cat([tokens, 0 * tokens, 0 * tokens], 2)), expected)

    def test_running_mean_and_interval(self):
        values = torch.randn(1000, dtype=torch.float64) + 1e6
        mean = RunningMean()
        for part in values.split(7):
            mean.add(part)
        assert mean.mean == pytest.approx(values.mean().item(), abs=1e-6)
        assert mean.std == pytest.approx(values.std().item(), rel=1e-6)
        low, high = mean.interval()
        assert (low + high) / 2 == pytest.approx(mean.mean)
        assert high - low == pytest.approx(2 * 1.9623 * mean.std / 1000**0.5, rel=1e-3)
        single = RunningMean()
        single.add(torch.ones(1))
        assert all(map(math.isnan, single.interval()))

    @pytest.mark.parametrize(('degrees', 'value'), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (30, 2.0423)])
    def test_interval_of_few_numbers_is_students(self, degrees, value):
        mean = RunningMean()
        mean.add(torch.arange(degrees + 1.0))
        low, high = mean.interval()
        assert (high - low) / 2 == pytest.approx(value * mean.std / (degrees + 1) ** 0.5, rel=2e-5)

    def test_multiply_adds(self):
        net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 10))
        macs = count_macs(net, torch.zeros(1, 3, 4, 4))
        assert macs == 4 * 4 * 9 * 3 * 8 + 128 * 10

        class Attention(nn.Module):
            def forward(self, x):
                return nn.functional.scaled_dot_product_attention(x, x, x)

        assert count_macs(Attention(), torch.zeros(1, 2, 16, 4)) == 2 * 2 * 16 * 16 * 4

    def test_peak_memory_sees_what_is_gone(self):
        memory = PeakMemory(torch.device('cpu'))
        torch.ones(30 * 2**18).sum()  # 30 MiB
        peak = memory.mib()
        assert peak is None or 25 < peak < 200


def write_images(folder, count=5, size=(40, 56)):
    folder.mkdir(parents=True)
    rng = np.random.RandomState(0)
    for index in range(count):
        small = rng.randint(0, 256, (6, 6, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'), cv2.resize(small, size[::-1]))
    return folder


class TestImages:
    def test_centre_in_rgb(self, tmp_path):
        image = np.zeros((16, 32, 3), np.uint8)
        image[:, 8:24] = (10, 20, 30)  # BGR
        cv2.imwrite(str(tmp_path / 'a.png'), image)
        loaded = load_image(tmp_path / 'a.png', 7)
        assert loaded.shape == (3, 7, 7) and loaded.dtype == torch.uint8
        assert (loaded == torch.tensor([30, 20, 10]).view(3, 1, 1)).all()

    def test_unreadable_ones_are_named_and_batches_full(self, tmp_path):
        folder = write_images(tmp_path / 'in')
        (folder / '1.png').write_bytes(b'nothing')
        (folder / '3.png').write_bytes(b'')
        skipped = {}
        paths = sorted(folder.iterdir())
        batches = list(read_batches(paths, 16, 2, lambda path, reason: skipped.update({path.name: reason})))
        assert [len(batch) for batch in batches] == [2, 1]
        assert skipped['3.png'] == 'empty file' and 'not decodable' in skipped['1.png']

    def test_subsample(self):
        assert subsample(range(10), 4) == [0, 3, 6, 9] and subsample([1, 2], 5) == [1, 2]


def write_teacher(path, extra='random_weights=0, output_stride=16', teacher=RESNET):
    path.write_text(f"target_generator = dict(type='mmimg2vec.BackboneTargetGenerator', teacher={teacher}, {extra})\n")
    return str(path)


def write_weights(path, change):
    from mmpretrain.models.backbones import ResNet

    net = ResNet(18, base_channels=8, stem_channels=8)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            change(name, value)
    torch.save(net.state_dict(), path)
    return str(path)


def nan(name, value):
    if name == 'layer4.1.bn2.running_mean':
        value.fill_(float('nan'))


def flat(name, value):
    if name.startswith('layer4.1.') and name.endswith(('weight', 'bias')):
        value.zero_()
    if name.startswith(('conv1', 'layer')) and name.endswith('weight') and value.ndim == 4:
        value.zero_()


class TestTeachers:
    def test_independent_of_the_batch_size(self, tmp_path):
        folder = write_images(tmp_path / 'in')
        teacher = write_teacher(tmp_path / 'net.py')
        results = []
        for batch_size in (1, 3, 16):
            settings = Settings(img_size=64, batch_size=batch_size)
            rows, _ = compare([teacher], [folder], tmp_path / f'out{batch_size}', settings, pictures=0)
            results.append(rows[0])
        for row in results[1:]:
            for key in ('diversity', 'diversity_low', 'diversity_high', 'effective_rank'):
                assert getattr(row, key) == pytest.approx(getattr(results[0], key), abs=1e-5), key

    def test_a_row_says_what_the_network_does(self, tmp_path):
        folder = write_images(tmp_path / 'in')
        out = tmp_path / 'out'
        teacher = write_teacher(tmp_path / 'net.py')
        settings = Settings(img_size=64, batch_size=2)
        (row,), skipped = compare([teacher], [folder], out, settings, pictures=2)
        assert not skipped and row.error == ''
        images = torch.cat(list(read_batches(sorted(folder.iterdir()), 64, 9)))
        from mmimg2vec.teacher_selection import find_teacher
        from mmimg2vec.teacher_selection.measurement import build_generator

        generator = build_generator(find_teacher(teacher), settings)
        expected = by_loop(generator(images)['tokens'].double())
        assert row.diversity == pytest.approx(expected.mean().item(), abs=1e-5)
        assert (row.rows, row.columns, row.width, row.images) == (4, 4, 64, 5)
        assert row.parameters == sum(p.numel() for p in generator._build().parameters())
        assert row.diversity_low < row.diversity < row.diversity_high
        assert row.images_per_second > 0 and 0 < row.gmac < 1
        # The last stage is the target.
        assert list(row.stages) == ['layer1', 'layer2', 'layer3', 'layer4']
        assert row.stages['layer4'] == pytest.approx(row.diversity, abs=1e-5)
        assert 'tokens of 64' in row.spec
        for name in ('ranking.png', 'stages.png', 'pictures/0_0.png', 'pictures/1_1.png'):
            assert cv2.imread(str(out / name)) is not None, name
        stored = json.loads((out / 'teachers.json').read_text())
        assert stored['teachers'][0]['diversity'] == row.diversity
        assert stored['settings']['img_size'] == 64
        with open(out / 'teachers.csv') as file:
            (line,) = csv.DictReader(file)
        assert float(line['diversity']) == row.diversity and line['teacher'] == teacher

    def test_what_fails_costs_its_own_row_only(self, tmp_path):
        folder = write_images(tmp_path / 'in')
        (folder / 'cut.png').write_bytes((folder / '0.png').read_bytes()[:-30])
        good = write_teacher(tmp_path / 'good.py')
        grid = write_teacher(tmp_path / 'grid.py', 'random_weights=0')
        wrong = write_teacher(tmp_path / 'wrong.py', teacher="dict(type='mmpretrain.ResNet', depth=34)")
        pixels = str(tmp_path / 'pixels.py')
        Path(pixels).write_text("target_generator = dict(type='mmimg2vec.PixelTargetGenerator')\n")
        weights = {
            'nan': write_weights(tmp_path / 'nan.pth', nan),
            'flat': write_weights(tmp_path / 'flat.pth', flat),
        }
        teachers = [
            f'{good}@{weights["nan"]}',
            f'{good}@{weights["flat"]}',
            f'{wrong}@{weights["flat"]}',
            grid,
            'no-such-teacher',
            'timm:no_such_model@random',
            'timm:resnet18',
            'run.pth@random',
            write_teacher(tmp_path / 'list.py', teacher='[1]'),
            write_teacher(
                tmp_path / 'nofile.py',
                '',
                "dict(type='mmpretrain.ResNet', init_cfg=dict(type='Pretrained'))",
            ),
            write_teacher(tmp_path / 'option.py', 'random_weights=0, foo=3'),
            pixels,
            f'{pixels}@FILE',
            good,
        ]
        lines = []
        rows, skipped = compare(
            teachers,
            [folder],
            tmp_path / 'out',
            Settings(img_size=64),
            pictures=1,
            report=lines.append,
        )
        reasons = (
            'not finite',
            'zero variance',
            'in the file and|missing',
            '2 x 2 tokens',
            'no teacher',
            'timm',
            'timm:resnet18@FILE, or timm:resnet18@random',
            'leave out @random',
            'ValueError|TypeError|cannot',
            'names no file',
            "cannot be built: .*foo|unexpected keyword argument 'foo'",
            'PixelTargetGenerator is no target generator with a teacher',
            'no teacher that @FILE could fill',
        )
        assert list(skipped) == [str(folder / 'cut.png')]
        assert sum(f'/{len(teachers)}: ' in line for line in lines) == len(teachers)
        lines = [line for line in lines if f'/{len(teachers)}: ' not in line and 'random weights' not in line]
        # The good one has 16 tokens in each of five images: too few visible ones for the context gap.
        assert lines.pop().startswith(f'{good}: the context gap is undefined')
        assert lines[:2] == ['6 images found', f'skipped: {folder / "cut.png"}: cut short']
        assert len(lines) == 2 + len(reasons)
        for row, reason, line in zip(rows, reasons, lines[2:], strict=False):
            assert any(part in row.error for part in reason.split('|')), row.error
            assert row.diversity is None and row.error in line and '\n' not in line
        assert rows[-1].error == '' and rows[-1].images == 5
        assert format_table(rows).count('\n') == 2

    def test_memory_is_constant(self):
        """A pass holds no more than a batch and the images asked for."""
        alive = []

        def batches():
            for _ in range(6):
                batch = torch.rand(2, 3, 32, 32) * 255
                alive.append(torch.utils.weak.WeakTensorKeyDictionary({batch: 1}))
                assert sum(map(len, alive)) <= 3
                yield batch

        teacher = dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)
        cfg = dict(
            type='mmimg2vec.BackboneTargetGenerator',
            teacher=teacher,
            random_weights=0,
            output_stride=16,
        )
        row, kept, grid = measure('a', cfg, batches, SMALL, keep=3)
        assert row.images == 12 and kept.shape == (3, 4, 64) and grid == (2, 2)

    def test_normalized_and_own_grid(self, tmp_path):
        folder = write_images(tmp_path / 'in')
        teacher = write_teacher(tmp_path / 'net.py', 'random_weights=0')
        settings = dict(img_size=64, own_grid=True)
        raw, layer = (
            compare([teacher], [folder], tmp_path / f'out{n}', Settings(normalized=n, **settings))[0][0]
            for n in (False, True)
        )
        assert (raw.rows, raw.columns) == (2, 2)
        assert abs(raw.diversity - layer.diversity) > 1e-3

    def test_teachers_without_a_config_are_brought_onto_the_grid(self, tmp_path):
        pytest.importorskip('timm')
        folder, small = write_images(tmp_path / 'in'), Settings(img_size=32, batch_size=2)
        (row,), _ = compare(['r=timm:resnet18@random'], [folder], tmp_path / 'out', small)
        assert (row.teacher, row.rows, row.columns) == ('r', 2, 2) and 'bilinear' in row.spec

    def test_mistakes(self, tmp_path):
        folder = write_images(tmp_path / 'in', 1)
        teacher = write_teacher(tmp_path / 'net.py')
        with pytest.raises(UserError, match='named twice'):
            compare([teacher, teacher], [folder], tmp_path / 'out', SMALL)
        (folder / '0.png').write_bytes(b'')
        with pytest.raises(UserError, match='none of the images can be read'):
            compare([teacher], [folder], tmp_path / 'out', SMALL)
        with pytest.raises(UserError, match='no image or folder'):
            compare([teacher], [tmp_path / 'gone'], tmp_path / 'out', SMALL)


def test_table_is_ranked(tmp_path):
    rows = [
        Row('low', 10**6, 1.0, 2, 2, 8, 0.1, 0.05, 0.15, 2.0, 10.0, None, 3),
        Row('failed', error='why'),
        Row('high', 2 * 10**6, None, 2, 2, 8, 0.9, math.nan, math.nan, 3.0, 10.0, 5.0, 1),
    ]
    assert [row.teacher for row in ranked(rows)] == ['high', 'low', 'failed']
    lines = format_table(rows).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert 'high' in lines[2] and '0.0500 to 0.1500' in lines[3]
    assert format_table(rows[1:2]) == ''
    write_json(rows, {}, tmp_path / 'a.json')
    assert json.loads((tmp_path / 'a.json').read_text())['teachers'][0]['diversity_low'] is None
    write_csv(rows, tmp_path / 'a.csv')
    assert (tmp_path / 'a.csv').read_text().count('\n') == 4


def test_chosen_token():
    assert token_at((0.5, 0.5), (4, 6)) == 2 * 6 + 3
    assert token_at((0, 1), (4, 6)) == 5 and token_at((1, 0), (4, 6)) == 18
