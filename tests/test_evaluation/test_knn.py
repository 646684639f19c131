import math

import pytest
import torch

from mmimg2vec.evaluation import knn_accuracies, knn_accuracy


def clusters(count, seed, spread=0.3):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centers = torch.eye(3, 8)
    return centers[labels] + spread * torch.randn(count, 8, generator=generator), labels


def brute_force(bank, bank_labels, query, query_labels, k, temperature):
    correct = 0
    for row, label in zip(query, query_labels, strict=True):
        similarity = torch.cosine_similarity(row[None], bank)
        nearest = similarity.argsort(descending=True)[:k]
        votes = [0.0] * 3
        for i in nearest.tolist():
            votes[bank_labels[i]] += float(torch.exp(similarity[i] / temperature))
        correct += votes.index(max(votes)) == label
    return 100 * correct / len(query)


def test_agrees_with_the_definition():
    bank, query = clusters(60, 0, spread=0.8), clusters(41, 1, spread=0.8)
    for k, temperature in ((1, 0.07), (7, 0.07), (20, 1.0)):
        expected = brute_force(*bank, *query, k, temperature)
        assert 40 < expected < 100
        assert knn_accuracy(*bank, *query, k, temperature, chunk_size=7) == expected


def test_weights_decide():
    bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = torch.tensor([0, 1, 1])
    query = torch.tensor([[1.0, 0.5]])
    assert knn_accuracy(bank, labels, query, torch.tensor([0]), k=3, temperature=0.07) == 100
    assert knn_accuracy(bank, labels, query, torch.tensor([0]), k=3, temperature=100.0) == 0


def test_extreme_temperature_and_small_bank():
    bank, query = clusters(6, 0), clusters(9, 1)
    assert knn_accuracy(*bank, *query, k=200, temperature=1e-4) > 60


def at_angles(*angles):
    return torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles])


def defaults(bank, labels):
    """Class of a query at angle 0 with the defaults of both functions."""
    query, label = at_angles(0.0), torch.tensor([1])
    found = knn_accuracy(bank, labels, query, label)
    assert knn_accuracies(({'cls': bank}, labels), ({'cls': query}, label)) == {'cls': found}
    return int(found == 100)


@pytest.mark.parametrize(('similarity', 'decides'), [(0.92, 1), (0.93, 0)])
def test_temperature_where_it_decides(similarity, decides):
    """One vote of similarity 1 equals three where exp((s - 1) / T) is 1/3: at s = 0.923 with T = 0.07."""
    bank = at_angles(0.0, *[math.acos(similarity)] * 3)
    assert defaults(bank, torch.tensor([1, 0, 0, 0])) == decides


def test_twenty_neighbors_vote():
    # 9 and 10 votes of almost the same weight; the 20th makes it 10 and 10, the 21st 10 and 11.
    bank = at_angles(*[0.0] * 9, *[0.010] * 10, 0.011, 0.012)
    labels = torch.tensor([1] * 9 + [0] * 10 + [1, 0])
    assert defaults(bank, labels) == 1
    assert [int(knn_accuracy(bank, labels, at_angles(0.0), labels[:1], k)) for k in (19, 20, 21)] == [0, 100, 0]
