"""Measures of a sample of images: what the tool hands to the formulas, and what it says of them."""

import csv

import cv2
import numpy as np
import pytest
import torch

from mmimg2vec import UserError
from mmimg2vec.teacher_selection import compare
from mmimg2vec.teacher_selection.measurement import Settings, build_generator, look, measure
from mmimg2vec.teacher_selection.measures import MEASURES, Views, augment, measure_sample, mirror_tokens, own_knn
from mmimg2vec.teacher_selection.statistics import Thinned
from mmimg2vec.teacher_selection.table import Row, format_measures, write_csv

TEACHER = dict(
    type='mmimg2vec.BackboneTargetGenerator',
    teacher=dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8),
    output_stride=16,
    random_weights=0,
)


def images(count, size=96):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    return 255 * torch.nn.functional.interpolate(coarse, (size, size), mode='bilinear')


@pytest.mark.parametrize('total', [3, 8, 9, 40, 500])
def test_a_thinned_stream_is_even_and_bounded(total):
    sample = Thinned(8)
    for start in range(0, total, 7):
        sample.add(torch.arange(start, min(start + 7, total)))
        assert len(sample.kept) <= 8
    kept = [int(x) for x in sample.kept]
    assert len(kept) >= min(total, 4)
    assert kept == list(range(0, total, sample.step))
    nothing = Thinned(0)
    nothing.add(torch.arange(5))
    assert nothing.kept == []


def test_places_stay_where_they_are_under_augmentations():
    batch = images(6)
    changed, mirrored = augment(batch, 3)
    assert 0 < mirrored.sum() < 6 and changed.min() >= 0 and changed.max() <= 255
    # Tokens that only know where they are come back to their places.
    place = torch.arange(36.0).view(1, 36, 1).expand(6, -1, -1)
    seen = torch.where(mirrored.view(-1, 1, 1), place.unflatten(1, (6, 6)).flip(2).flatten(1, 2), place)
    assert torch.equal(mirror_tokens(seen, mirrored, (6, 6)), place)
    again, _ = augment(batch, 3)
    assert torch.equal(changed, again) and not torch.equal(changed, augment(batch, 4)[0])


def test_pixels_and_tokens_are_of_the_same_patches():
    settings = Settings(img_size=96, batch_size=4, normalized=True)
    generator = build_generator(TEACHER, settings)
    generator.load()
    batch = images(6)
    views = look(generator, list(batch), (6, 6), settings)
    assert views.tokens.shape == views.first.shape == views.second.shape == (6, 36, 64)
    patch = batch[5, :, 16:32, 32:48].permute(1, 2, 0).flatten()
    torch.testing.assert_close(views.pixels[5, 6 + 2], patch)
    torch.testing.assert_close(views.tokens[4], generator(batch[4:5])['tokens'][0], rtol=1e-3, atol=1e-3)


def test_a_row_has_all_measures_as_the_loss_sees_the_tokens():
    batch = images(12)
    settings = Settings(img_size=96, batch_size=5, stage_images=0, normalized=True, sample_images=12)
    row, *_ = measure('net', TEACHER, lambda: batch.split(5), settings)
    assert row.undefined == {} and not row.trained
    assert set(row.measures) == set(MEASURES) - {'diversity', 'effective_rank', 'own_knn'}
    raw, *_ = measure('net', TEACHER, lambda: batch.split(5), Settings(**{**vars(settings), 'normalized': False}))
    assert raw.measures['lds'] != pytest.approx(row.measures['lds'], abs=1e-3)
    without, *_ = measure('net', TEACHER, lambda: batch.split(5), Settings(**{**vars(settings), 'sample_images': 0}))
    assert without.measures == {} and without.diversity == row.diversity


def test_the_teachers_own_knn_asks_others_than_itself(tmp_path):
    centers = torch.eye(8)[:2].repeat_interleave(20, dim=0)
    labels = ['a'] * 20 + ['b'] * 20
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    shuffled = [labels[k] for k in order.tolist()]
    assert own_knn(centers[order], shuffled) == 100
    # Each alike to the other class only: an image that asked itself would be right.
    noise = torch.randn(200, 64, generator=torch.Generator().manual_seed(1))
    assert 35 < own_knn(noise, ['a', 'b'] * 100) < 65
    with pytest.raises(UserError, match='kNN is undefined for 40 images of 1 classes'):
        own_knn(centers, ['a'] * 40)


def test_folders_are_classes_where_asked_for(tmp_path):
    for number in range(24):
        label = 'dark' if number % 2 else 'bright'
        (tmp_path / 'images' / label).mkdir(parents=True, exist_ok=True)
        value = 30 if number % 2 else 220
        pixels = np.random.default_rng(number).integers(value - 20, value + 20, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / 'images' / label / f'{number}.png'), pixels)
    (tmp_path / 'images' / 'dark' / '0_broken.png').write_bytes(b'no picture')
    settings = Settings(img_size=32, stage_images=0, sample_images=0, batch_size=5)
    (row,), skipped = compare(['timm:resnet10t@random'], [tmp_path / 'images'], tmp_path / 'out', settings,
                              pictures=0, labels=True)  # fmt: skip
    assert len(skipped) == 1 and row.images == 24
    assert row.measures == {'own_knn': 100.0}


def test_what_is_undefined_is_a_line_and_the_rest_is_made():
    tokens = torch.randn(3, 36, 8)
    values, undefined = measure_sample(Views(tokens, tokens, tokens + 0.1, torch.randn(3, 36, 5), (6, 6)))
    assert set(undefined) == {'context_gap'} and '\n' not in undefined['context_gap']
    assert {'lds', 'dse', 'lidar'} <= set(values)
    values, undefined = measure_sample(Views(*[torch.ones(6, 1, 4)] * 3, torch.ones(6, 1, 4), (1, 1)))
    assert values == {} and set(undefined) == {'lds', 'dse', 'lidar', 'context_gap'}


def test_the_table_names_random_weights_and_leaves_gaps(tmp_path):
    rows = [
        Row('a', diversity=0.5, measures={'lds': 0.1, 'dse': 1.25}),
        Row('b', diversity=0.7, measures={'lds': 0.2}, trained=False),
        Row('broken', error='no file'),
    ]
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in format_measures(rows).splitlines()]
    assert lines[0] == ['teacher', 'weights', 'token diversity', 'LDS', 'DSE']
    assert lines[2:] == [['b', 'random', '0.700', '0.200', '-'], ['a', 'trained', '0.500', '0.100', '1.250']]
    assert format_measures([Row('x', diversity=0.5)]) == ''
    write_csv(rows, tmp_path / 'a.csv')
    assert [row['lds'] for row in csv.DictReader((tmp_path / 'a.csv').open())] == ['0.2', '0.1', '']


def test_every_measure_says_who_validated_it():
    assert all(measure.validated and measure.sign in (1, -1) for measure in MEASURES.values())
