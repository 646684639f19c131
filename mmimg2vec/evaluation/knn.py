"""Accuracy of a weighted nearest-neighbor classifier on frozen features."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def knn_accuracy(
    bank: Tensor,
    bank_labels: Tensor,
    query: Tensor,
    query_labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
    chunk_size: int = 1024,
) -> float:
    """Top-1 accuracy of weighted kNN (Wu et al. 2018, arXiv 1805.01978, section 3.4).

    The k nearest by cosine similarity s vote for their class with weight exp(s / temperature).

    Args:
        bank: (N, C) features that are voted from.
        bank_labels: int64 (N,).
        query: (M, C) features that are classified, on the device of ``bank``.
        query_labels: int64 (M,).
        k: Number of neighbors; all of the bank where it is smaller.
        temperature: Small values let the nearest decide.
        chunk_size: Queries compared at once; bounds the memory.

    Returns:
        Percent of correctly classified queries.
    """
    bank, query = F.normalize(bank.float(), dim=1), F.normalize(query.float(), dim=1)
    num_classes = int(max(bank_labels.max(), query_labels.max())) + 1
    correct = 0
    for chunk, labels in zip(query.split(chunk_size), query_labels.split(chunk_size), strict=True):
        similarity, neighbors = (chunk @ bank.T).topk(min(k, len(bank)), dim=1)  # (B, k)
        # The largest weight is one: no overflow, whatever the temperature.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        votes = weights.new_zeros(len(chunk), num_classes)
        votes.scatter_add_(1, bank_labels[neighbors], weights)
        correct += int((votes.argmax(1) == labels).sum())
    return 100 * correct / len(query)
