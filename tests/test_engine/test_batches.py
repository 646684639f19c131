"""Batches of one image under BatchNorm are refused before training."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mmimg2vec.engine.batches import check_batches, single_value_norm
from mmimg2vec.errors import UserError

POOLED = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
PLAIN = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def loader(size, count=24, drop_last=False):
    return DataLoader(TensorDataset(torch.zeros(count, 1)), batch_size=size, drop_last=drop_last)


@pytest.mark.parametrize(('model', 'name'), [
    (nn.Sequential(POOLED), '0.1.1'), (nn.Sequential(nn.BatchNorm1d(3)), '0'), (PLAIN, None),
    (nn.Sequential(nn.BatchNorm1d(3)).requires_grad_(False), None),
])  # fmt: skip
def test_norms_that_see_one_value(model, name):
    assert single_value_norm(model) == name


def test_batches():
    check_batches(PLAIN, loader(1))
    for fitting in (loader(2), loader(23, drop_last=True), loader(22)):
        check_batches(POOLED, fitting)
    with pytest.raises(UserError, match=r'set train_dataloader.batch_size=2 or more'):
        check_batches(POOLED, loader(1))
    with pytest.raises(
        UserError, match=r'24 images in batches of 23 is a single one: set train_dataloader.drop_last=True'
    ):
        check_batches(POOLED, loader(23))
