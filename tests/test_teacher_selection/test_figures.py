"""Pictures of a comparison: what they need, how they grow, and which token a place belongs to."""

import cv2
import pytest

from mmimg2vec.teacher_selection.figures import draw_ranking, draw_stages, token_at
from mmimg2vec.teacher_selection.table import Row


@pytest.mark.parametrize(('count', 'height'), [(1, 300), (4, 300), (6, 350), (20, 840)])
def test_the_ranking_has_room_for_all(tmp_path, count, height):
    rows = [Row(f'teacher {n}', gmac=1.0 + n, diversity=0.5 - n / 100) for n in range(count)]
    assert draw_ranking([*rows, Row('broken', error='no such file')], tmp_path / 'ranking.png')
    assert cv2.imread(str(tmp_path / 'ranking.png')).shape == (height, 1100, 3)


def test_nothing_known_is_no_picture(tmp_path):
    assert not draw_ranking([Row('broken', error='no such file')], tmp_path / 'ranking.png')
    assert not draw_stages([Row('a transformer', diversity=0.5, stages={'last': 0.5})], tmp_path / 'stages.png')
    assert list(tmp_path.iterdir()) == []
    assert draw_stages([Row('two', diversity=0.5, stages={'3': 0.6, '4': 0.5})], tmp_path / 'stages.png')


@pytest.mark.parametrize(
    ('point', 'token'), [((0, 0), 0), ((0.5, 0.5), 4), ((0.49, 0.5), 1), ((1, 1), 5), ((0, 1), 2), ((1, 0), 3)]
)
def test_the_token_of_a_place(point, token):
    assert token_at(point, (2, 3)) == token
