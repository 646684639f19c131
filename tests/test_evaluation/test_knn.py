import torch

from mmimg2vec.evaluation import knn_accuracy


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
