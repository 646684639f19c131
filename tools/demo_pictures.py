"""Pictures of the demo's results."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from comparison import COLUMNS, IMG2VEC, LABELS, read_config
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmimg2vec.analysis.feature_pictures import draw_feature_pictures


def draw_accuracies(rows: list[dict], path: Path) -> None:
    """Bars of kNN and linear accuracy per arm and readout, the single seeds as dots."""
    arms = [arm for arm in LABELS if any(row['arm'] == arm for row in rows)]
    figure = Figure(figsize=(12, 0.6 * len(arms) + 1.2), dpi=100, layout='constrained')
    axes = figure.subplots(1, len(COLUMNS), sharey=True, sharex=True)
    for ax, (key, title) in zip(axes, COLUMNS.items(), strict=True):
        for place, arm in enumerate(arms):
            values = [row[key] for row in rows if row['arm'] == arm and key in row]
            if not values:  # a convolutional network has no class token
                continue
            colour = '#c0392b' if arm == 'img2vec' else '#7f8c8d'
            mean = float(np.mean(values))
            ax.barh(place, mean, color=colour, alpha=0.85)
            if len(values) > 1:
                ax.plot(values, [place] * len(values), 'k.', markersize=5)
            ax.text(max(values) + 1, place, f'{mean:.1f}', va='center', fontsize=9)
        ax.axvline(10, color='black', linewidth=0.8, linestyle=':')
        ax.set_title(f'{title} (%)', fontsize=10)
        ax.spines[['top', 'right']].set_visible(False)
    axes[0].set_xlim(0, 1.2 * max(row.get(key, 0) for row in rows for key in COLUMNS))
    axes[0].set_yticks(range(len(arms)), [LABELS[arm] for arm in arms])
    axes[0].invert_yaxis()
    figure.supxlabel('dotted: chance', fontsize=9)
    FigureCanvasAgg(figure).print_png(str(path))


def draw_features(folder: Path, seed: int, path: Path, count: int = 6) -> None:
    """Images, masks, teacher features and predictions of the demo's Img2Vec run."""
    os.environ['IMG2VEC_TEACHER'] = str(folder / 'teacher' / 'backbone.pth')
    cfg = read_config(IMG2VEC)
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    checkpoint = (
        folder / 'img2vec' / (folder / 'img2vec' / 'last_checkpoint').read_text().split('/')[-1]
    )
    state = torch.load(checkpoint, map_location='cpu', weights_only=True)['state_dict']
    model.load_state_dict(state)
    model.eval()
    loader = dict(cfg.train_dataloader, batch_size=count, num_workers=0, persistent_workers=False)
    batch = next(iter(Runner.build_dataloader(loader, seed=seed)))
    images = batch['inputs'].permute(0, 2, 3, 1).flip(-1).numpy()
    data = model.data_preprocessor(batch)
    result = model.predict_features(
        data['inputs'], data['mask'], data['num_hidden'], data['token_rank']
    )
    picture = draw_feature_pictures(
        images, data['mask'], result['target'], result['prediction'], result['positions']
    )
    cv2.imwrite(str(path), picture[..., ::-1])
