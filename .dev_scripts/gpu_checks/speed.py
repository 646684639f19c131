"""The benchmark on the device, with the bars that are set for it."""

from __future__ import annotations

import os
from typing import Any

import benchmark
import torch

_SMALL = 'model.backbone.arch=deit-tiny'
_SMALL_MAE = [_SMALL, 'model.neck.embed_dim=192', 'model.neck.decoder_embed_dim=32', 'model.neck.decoder_num_heads=2']


def _measure(device: torch.device, small: bool, words: list[str]) -> dict[str, Any]:
    views = ['--views', '4', '--rounds', '1'] if small else ['--views', '256', '--rounds', '8']
    return benchmark.run(benchmark.parse_args([*words, *views, '--device', device.type]))


def check_base(device: torch.device, small: bool = False) -> dict[str, Any]:
    """MAE and EVA as shipped, Img2Vec with one and four masks, compiled and not: ViT-B/16, 256 masked views a step.

    Args:
        device: Where.
        small: Tiny networks, without EVA.

    Returns:
        The benchmark's ``tables``, ``missed`` (bars that were not reached) and ``summary``.
    """
    if small:
        rows = ['--config', 'mae', 'mae', *_SMALL_MAE, '--config', 'img2vec', 'img2vec', _SMALL]
    else:
        rows = ['mae', 'eva', 'img2vec', 'img2vec-k4', 'img2vec-compiled', 'img2vec-k4-compiled']
    return _against_bars(_measure(device, small, rows), small, times=3.0, share=0.25)


def check_large(device: torch.device, small: bool = False) -> dict[str, Any]:
    """The same for ViT-L/16, without EVA, of which mmpretrain ships no such config."""
    if small:
        return check_base(device, small)
    rows = ['mae-large', 'img2vec-large', 'img2vec-large-k4', 'img2vec-large-k4-compiled']
    return _against_bars(_measure(device, small, rows), small, times=3.0, share=0.40)


def check_loader(device: torch.device, small: bool = False) -> dict[str, Any]:
    """Steps whose batches are loaded from files by as many processes as there are cores, eight at most."""
    workers = 1 if small else min(8, os.cpu_count() or 1)
    rows = ['--config', 'mae', 'mae', *_SMALL_MAE, '--config', 'img2vec', 'img2vec', _SMALL] if small else []
    words = [*(rows or ['mae', 'img2vec', 'img2vec-k4']), '--end-to-end', '2' if small else '4']
    result = _measure(device, small, [*words, '--workers', str(workers)])
    shown = [
        f'{row["name"]} {row["images_per_s"]:.3g} images/s, {row["parts"]["data"] / row["step_s"]:.0%} of it data'
        for row in result['tables']['end_to_end']['rows']
    ]
    return dict(tables=result['tables'], workers=workers, summary='; '.join(shown))


def _against_bars(result: dict[str, Any], small: bool, times: float, share: float) -> dict[str, Any]:
    """Compare with the bars: so many times the views per second of the first row, so large a share of the product.

    Small networks are not compared: their teacher is larger than they are.
    """
    rows = result['tables']['step']['rows']
    ours = [row for row in rows if row['name'].startswith('img2vec')]
    fastest = max(row['views_per_s'] for row in ours) / rows[0]['views_per_s']
    highest = max(row['peak_share'] or 0 for row in ours)
    missed = []
    if fastest < times and not small:
        missed.append(f'{fastest:.2f} times the views/s of {rows[0]["name"]}, wanted {times:g}')
    if highest < share and not small:
        missed.append(f'{highest:.0%} of the matrix product, wanted {share:.0%}')
    shown = ', '.join(f'{row["name"]} {row["views_per_s"]:.3g}' for row in rows)
    return dict(tables=result['tables'], missed=missed, summary=f'views/s: {shown}; of the product {highest:.0%}')
