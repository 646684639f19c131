"""Frozen features of labeled images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.utils.distributed import unwrapped

# Names of the ways to pool, and what they mean in a log.
POOLS = {'cls': 'cls_token', 'mean': 'patch_mean'}


def extract_features(
    model: nn.Module, dataloader: Iterable[dict], pools: Sequence[str] = ('cls', 'mean')
) -> tuple[dict[str, Tensor], Tensor]:
    """Features of all images of a dataloader, from all ranks.

    The model is in eval mode for the while; the mode of each of its modules and torch's CPU generator, from which a
    dataloader draws when it starts, are afterwards as before. Every rank has to call this, on its share of the data.

    Args:
        model: Has ``data_preprocessor`` and ``extract_feat(inputs)``, whose last output is (B, 1+L, C) tokens with the
            class token first, (B, C, H, W) or (B, C); model wrappers are looked through.
        dataloader: Yields ``inputs`` and ``data_samples`` with ``gt_label`` and ``sample_idx``, without randomness.
        pools: Any of 'cls' (class token) and 'mean' (mean over the patch tokens or the map).

    Returns:
        For each pool float32 (N, C) on the CPU, and labels int64 (N,); in the order of the dataset, each sample once.
    """
    module = unwrapped(model)
    features: dict[str, list[Tensor]] = {pool: [] for pool in pools}
    labels: list[Tensor] = []
    samples: list[int] = []
    with evaluating(module), torch.random.fork_rng(devices=[]), torch.no_grad():
        for batch in dataloader:
            batch = module.data_preprocessor(batch, False)
            outputs = module.extract_feat(batch['inputs'])
            tokens = outputs[-1] if isinstance(outputs, (tuple, list)) else outputs
            for pool in pools:
                features[pool].append(pool_tokens(tokens, pool).float().cpu())
            for sample in batch['data_samples']:
                labels.append(sample.gt_label.view(-1)[0].cpu())
                samples.append(sample.sample_idx)
    # Ranks repeat samples to have as many as the others: keep the first of each.
    indices = _gather_rows(torch.tensor(samples, dtype=torch.long))
    order = torch.argsort(indices, stable=True)
    order = order[torch.cat([torch.ones(1, dtype=torch.bool), indices[order].diff() > 0])]
    gathered = {pool: _gather_rows(torch.cat(parts))[order] for pool, parts in features.items()}
    return gathered, _gather_rows(torch.stack(labels).long())[order]


def pool_tokens(tokens: Tensor, pool: str) -> Tensor:
    """One vector per image.

    Args:
        tokens: (B, 1+L, C) with the class token first, (B, C, H, W) or (B, C).
        pool: 'cls' takes the class token; 'mean' averages the patch tokens, or the map.

    Returns:
        (B, C).

    Raises:
        UserError: The class token is asked for where there is none, or ``pool`` is unknown.
    """
    if pool not in POOLS:
        raise UserError(f'pool={pool!r} is unknown: set one of {", ".join(POOLS)}')
    if pool == 'cls':
        if tokens.ndim != 3:
            raise UserError(f"pool='cls' needs a class token, the features are {tuple(tokens.shape)}: set pool='mean'")
        return tokens[:, 0]
    if tokens.ndim == 3:
        return tokens[:, 1:].mean(1)
    return tokens.flatten(2).mean(2) if tokens.ndim == 4 else tokens


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for a while; the mode of each module is afterwards as before."""
    # Per module: a frozen part that sits in eval mode must stay there.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _gather_rows(rows: Tensor) -> Tensor:
    """Rows of all ranks one after the other; the ranks may have different numbers of them."""
    if get_world_size() == 1:
        return rows
    counts = [int(count) for count in all_gather(torch.tensor([len(rows)]))]
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows
    return torch.cat([part[:count] for part, count in zip(all_gather(padded), counts, strict=True)])
