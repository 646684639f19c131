import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from mmimg2vec.errors import UserError
from mmimg2vec.evaluation import extract_features, pool_tokens
from mmimg2vec.evaluation.features import _gather_rows


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.frozen = nn.Dropout(0.5).eval()

    def data_preprocessor(self, batch, training):
        assert training is False
        return batch

    def extract_feat(self, inputs):
        return (None, self.frozen(self.drop(inputs)))


def batches(order):
    tokens = torch.arange(5.0)[:, None, None] * torch.ones(5, 3, 2)
    tokens[:, 0] += 10
    for start in range(0, len(order), 2):
        part = order[start : start + 2]
        samples = [DataSample(metainfo={'sample_idx': index}).set_gt_label(index % 3) for index in part]
        yield {'inputs': tokens[part], 'data_samples': samples}


def test_features_in_the_order_of_the_dataset_each_once():
    model = Model().train()
    model.frozen.eval()
    state = torch.get_rng_state()
    features, labels = extract_features(model, batches([3, 1, 0, 4, 2, 3]))
    assert torch.equal(features['cls'], torch.arange(10.0, 15)[:, None].expand(5, 2))
    assert torch.equal(features['mean'], torch.arange(5.0)[:, None].expand(5, 2))
    assert labels.tolist() == [0, 1, 2, 0, 1]
    assert model.training and model.drop.training and not model.frozen.training
    assert torch.equal(state, torch.get_rng_state())


def test_rows_of_all_processes_in_their_order(monkeypatch):
    theirs = torch.arange(6.0).view(3, 2)
    mine = torch.tensor([[10.0, 11.0]])
    monkeypatch.setattr('mmimg2vec.evaluation.features.get_world_size', lambda: 2)

    def gather(tensor):
        if tensor.shape == (1,):
            return [torch.tensor([3]), tensor]
        assert tensor.shape == theirs.shape  # processes can only exchange what has one shape
        return [theirs, tensor]

    monkeypatch.setattr('mmimg2vec.evaluation.features.all_gather', gather)
    assert torch.equal(_gather_rows(mine), torch.cat([theirs, mine]))


def test_pooling_of_maps_and_vectors():
    maps = torch.rand(2, 3, 4, 5)
    assert torch.allclose(pool_tokens(maps, 'mean'), maps.mean((2, 3)))
    assert torch.equal(pool_tokens(maps[:, :, 0, 0], 'mean'), maps[:, :, 0, 0])
    with pytest.raises(UserError, match='needs a class token'):
        pool_tokens(maps, 'cls')
    with pytest.raises(UserError, match="pool='max' is unknown"):
        pool_tokens(maps, 'max')
