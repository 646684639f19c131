"""Pictures of what classifier, detector and segmenter see: the truth, the pre-trained model, the one from scratch.

Each model is built from its stage's config, filled from its last checkpoint and run on validation images through the
library's own ``test_step``; nothing here knows of a particular model.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, DefaultScope, init_default_scope
from torchvision.ops import nms

from mmimg2vec.chain.plan import Chain, Stage
from mmimg2vec.chain.records import read_config
from mmimg2vec.checkpoint.newest import newest_checkpoint
from mmimg2vec.checkpoint.trained import fill_trained
from mmimg2vec.engine.own_data import take_own_data
from mmimg2vec.visualization.figures import save_figure

#: Distinct colors (RGB), by class.
_COLORS = np.array(
    [
        (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180),
        (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (170, 110, 40),
    ]
)  # fmt: skip
_SCORE = 0.05


def draw_predictions(chain: Chain, stage: Stage, baseline: Stage | None, path: Path, count: int = 6) -> Path | None:
    """Draw a row of images with the truth, and one with the predictions of each of the two models.

    Returns:
        The file, or None where the stage has no validation data or no checkpoint.
    """
    rows: list[tuple[str, Any]] = []
    samples = None
    for title, one in (('pre-trained', stage), ('from scratch', baseline)):
        results = predict(chain, one, count) if one is not None else None
        if results is not None:
            found, classes = results
            samples = samples or found
            rows.append((title, found))
    if samples is None:
        return None
    kind = _kind(samples[0])
    if kind == 'class':
        rows = [('', samples)] if len(rows) == 1 else rows
    else:
        rows.insert(0, ('truth', samples))
    figure = Figure(figsize=(2.3 * len(samples), 2.45 * len(rows)), dpi=100, layout='constrained')
    grid = figure.subplots(len(rows), len(samples), squeeze=False)
    for axes, (title, results) in zip(grid, rows, strict=True):
        for ax, sample in zip(axes, results, strict=True):
            _DRAW[kind](ax, sample, classes, title == 'truth')
            ax.set_xticks([])
            ax.set_yticks([])
        axes[0].set_ylabel(title, fontsize=11)
    return save_figure(figure, path)


def predict(chain: Chain, stage: Stage, count: int) -> tuple[list[Any], tuple[str, ...]] | None:
    """Predictions of a stage's model on some validation images, spread over the data.

    Returns:
        Data samples of the library with truth and prediction, and the names of the classes; None where there is no
        data or no checkpoint.
    """
    checkpoint = newest_checkpoint(chain.folder(stage))
    cfg = read_config(stage)
    take_own_data(cfg)
    if checkpoint is None or cfg.get('val_dataloader') is None:
        return None
    scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine'))
    with scope, _quiet_libraries():
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
        model = _build(cfg, str(checkpoint))
        with torch.no_grad():
            # One by one: mmseg does not batch test images of several sizes.
            samples = [model.test_step(pseudo_collate([dataset[int(i)]]))[0] for i in indices]
        for sample in samples:
            sample.set_metainfo({'truth_is_resized': _truth_is_resized(cfg.val_dataloader.dataset)})
        return samples, tuple(dataset.metainfo['classes'])


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep what the libraries remark on annotations and settings off the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        yield


def _build(cfg: Config, checkpoint: str) -> BaseModel:
    model_cfg = cfg.model.copy()
    if 'backbone' in model_cfg:  # its weights come with the checkpoint
        model_cfg.backbone['init_cfg'] = None
    model = MODELS.build(model_cfg)
    fill_trained(model, checkpoint)
    return model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()


def _kind(sample: Any) -> str:
    if 'pred_instances' in sample:
        return 'instances'
    return 'map' if 'pred_sem_seg' in sample else 'class'


def _image(sample: Any) -> np.ndarray:
    return mmcv.imread(sample.img_path, channel_order='rgb')


def _draw_class(ax: Axes, sample: Any, classes: tuple[str, ...], truth: bool) -> None:
    true, found = int(sample.gt_label), int(sample.pred_label)
    score = float(sample.pred_score[found])
    ax.imshow(_image(sample))
    right = true == found
    text = f'{classes[found]} {score:.0%}' + ('' if right else f'\n(is a {classes[true]})')
    ax.set_xlabel(text, fontsize=9, color='#1e8449' if right else '#c0392b')


def _draw_instances(ax: Axes, sample: Any, classes: tuple[str, ...], truth: bool) -> None:
    image = _image(sample)
    instances = sample.gt_instances if truth else sample.pred_instances
    if not truth:
        instances = _best(instances, len(sample.gt_instances))
    labels = instances.labels.cpu().numpy()
    boxes = instances.bboxes
    boxes = (boxes.tensor if hasattr(boxes, 'tensor') else boxes).detach().cpu().numpy()
    if truth and sample.truth_is_resized:  # predictions are in the image's own pixels
        boxes = boxes / np.tile(sample.scale_factor, 2)
    canvas = image.astype(np.float32)
    for mask, label in zip(_masks(instances, image.shape[:2]), labels, strict=False):
        canvas[mask] = 0.5 * canvas[mask] + 0.5 * _COLORS[label % len(_COLORS)]
    ax.imshow(canvas.astype(np.uint8))
    names = [classes[label] for label in labels]
    if not truth:
        scores = instances.scores.tolist()
        names = [f'{name} {score:.0%}' for name, score in zip(names, scores, strict=True)]
    for (x1, y1, x2, y2), label, name in zip(boxes, labels, names, strict=True):
        color = _COLORS[label % len(_COLORS)] / 255
        ax.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=color, linewidth=1.2)
        ax.text(
            x1,
            y1,
            name,
            fontsize=7,
            va='bottom',
            clip_on=True,
            bbox=dict(facecolor=color, alpha=0.75, pad=0.6, linewidth=0),
        )
    ax.set_xlim(-0.5, image.shape[1] - 0.5)
    ax.set_ylim(image.shape[0] - 0.5, -0.5)


def _truth_is_resized(dataset: Any) -> bool:
    """Whether a dataset's true boxes are in pixels of the resized image, being loaded before they are resized."""
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    kinds = [str(transform['type']).split('.')[-1] for transform in dataset.get('pipeline') or []]
    loads = next((number for number, kind in enumerate(kinds) if 'Annotations' in kind), len(kinds))
    return any('Resize' in kind for kind in kinds[loads:])


def _best(instances: Any, count: int) -> Any:
    """The most confident detections, one per place: those of a short training have low scores."""
    instances = instances[nms(instances.bboxes, instances.scores, 0.3)[:count]]
    return instances[instances.scores >= _SCORE]


def _masks(instances: Any, size: tuple[int, int]) -> np.ndarray:
    if 'masks' not in instances:
        return np.zeros((0, *size), bool)
    masks = instances.masks
    if hasattr(masks, 'to_ndarray'):  # mmdet's BitmapMasks or PolygonMasks of the resized image
        masks = masks.resize(size).to_ndarray()
    return torch.as_tensor(masks).cpu().numpy().astype(bool)


def _draw_map(ax: Axes, sample: Any, classes: tuple[str, ...], truth: bool) -> None:
    image = _image(sample)
    labels = (sample.gt_sem_seg if truth else sample.pred_sem_seg).data[0].cpu().numpy()
    labels = labels.astype(np.uint8)
    if labels.shape != image.shape[:2]:
        labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    canvas = image.astype(np.float32)
    for label in np.unique(labels):
        # The first class is what is behind everything else in most data: it stays as it is.
        if 0 < label < len(classes):
            where = labels == label
            canvas[where] = 0.4 * canvas[where] + 0.6 * _COLORS[(label - 1) % len(_COLORS)]
            y, x = (float(np.median(axis)) for axis in np.nonzero(where))
            if where.sum() > 0.005 * where.size:
                ax.text(x, y, classes[label], fontsize=7, ha='center', color='white',
                        bbox=dict(facecolor='black', alpha=0.45, pad=0.6, linewidth=0))  # fmt: skip
    ax.imshow(canvas.astype(np.uint8))


# Each draws the truth or the prediction of a sample; a class is compared with the truth in its label.
_DRAW = {'class': _draw_class, 'instances': _draw_instances, 'map': _draw_map}
