"""A shipped downstream config at a size that a test can run, on Shapes; everything else left as it is."""

from pathlib import Path

import torch
from config_checks.nodes import stripped, walk
from mmengine.config import Config
from mmengine.registry import MODELS
from shrink import quiet_copy

from mmimg2vec.datasets.shapes import (
    CLASSES,
    SEGMENTATION_CLASSES,
    SEGMENTATION_PALETTE,
    ShapesOptions,
    write_shapes,
)

WIDTH, DEPTH = 48, 4
ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=2, feedforward_channels=64)
SIDE = 64
CHANNELS = 16  # of pyramid and heads


class TinyBenchmark:
    """Shapes in its three layouts, and the backbone.pth of tiny pre-training runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shapes = folder / 'shapes'
        write_shapes(self.shapes, ShapesOptions(scenes=4, val_scenes=2, size=96, crop=32))

    def backbone(self, patch: int, layer_scale: float = 0.0) -> str:
        """Weights as pre-training writes them: at its own image size, with class token and final norm.

        Those with LayerScale are CAE v2's, whose keys have no bias.
        """
        path = self.folder / f'backbone_p{patch}_{layer_scale}.pth'
        if not path.exists():
            arch = dict(type='mmimg2vec.MaskedVisionTransformer', arch=ARCH, patch_size=patch)
            arch.update(layer_scale_init_value=layer_scale, key_bias=not layer_scale)
            save_backbone({**arch, 'img_size': 3 * patch}, path)
        return str(path)


def save_backbone(config: dict, path: Path) -> str:
    """Random weights of a vision transformer, in a file as pre-training writes it."""
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.init_weights()
    state = {f'backbone.{key}': value for key, value in model.state_dict().items()}
    torch.save({'state_dict': state}, path)
    return str(path)


def shrink_benchmark(cfg: Config, tiny: TinyBenchmark, work_dir: Path, images: int = 2) -> Config:
    """Make of a shipped downstream config one that runs one step of a few small images on the CPU."""
    cfg = quiet_copy(cfg, work_dir)
    _shrink_model(cfg.model, cfg.filename, tiny)
    use_shapes(cfg, tiny.shapes)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name):
            cfg[name].update(num_workers=0, persistent_workers=False, batch_size=images)
    _shrink_images(cfg)
    if cfg.get('train_cfg'):
        _shorten(cfg, images)
    return cfg


def _shrink_images(cfg: Config) -> None:
    """64 px stand for the 224, 512 and 1024 of the full-size configs; relative sizes of a test stay."""
    full = 512 if 'decode_head' in cfg.model else None
    for _, node in walk(cfg._cfg_dict):
        for key in ('scale', 'crop_size') if 'type' in node else ():
            if isinstance(node.get(key), int):
                node[key] = SIDE
            elif key in node:
                node[key] = tuple(side * SIDE // full if full else SIDE for side in node[key])
        if stripped(node.get('type')) == 'RandomChoiceResize':
            node['scales'] = [(SIDE, SIDE // 2), (SIDE, SIDE)]
        if 'ratio_range' in node:
            node['ratio_range'] = (0.8, 1.2)  # of a tiny image, 0.1 leaves nothing to see


def use_shapes(cfg: Config, shapes: Path) -> None:
    """Let every dataset of a downstream config read Shapes, with its classes."""
    imagenet = dict(data_root=str(shapes / 'imagenet'), metainfo=dict(classes=CLASSES))
    ade = dict(
        type='BaseSegDataset',  # ADE20KDataset takes its own 150 names only
        data_root=str(shapes / 'ade'),
        metainfo=dict(classes=SEGMENTATION_CLASSES, palette=SEGMENTATION_PALETTE),
        reduce_zero_label=True,
        img_suffix='.jpg',
        seg_map_suffix='.png',
    )
    coco = dict(data_root=str(shapes / 'coco'), metainfo=dict(classes=CLASSES))
    classes = dict(ImageNet=10, CocoDataset=10, ADE20KDataset=11)
    count = None
    for _, node in list(walk(cfg._cfg_dict)):
        kind = stripped(node.get('type'))
        if kind == 'CocoDataset':
            split = 'val' if node.get('test_mode') else 'train'
            file = f'annotations/instances_{split}.json'
            node.update(coco, ann_file=file, data_prefix=dict(img=f'{split}/'))
            if 'filter_cfg' in node:
                node['filter_cfg'] = dict(filter_empty_gt=True, min_size=4)
        elif kind in ('ImageNet', 'ADE20KDataset'):
            node.update(imagenet if kind == 'ImageNet' else ade)
        elif kind == 'CocoMetric':
            node['ann_file'] = str(shapes / 'coco/annotations/instances_val.json')
        count = classes.get(kind, count)
    for _, node in walk(cfg._cfg_dict.model):
        if 'num_classes' in node:
            node['num_classes'] = count


def _shrink_model(model: dict, filename: str, tiny: TinyBenchmark) -> None:
    backbone = model['backbone']
    # As in the full-size run: ViTDet-H takes up patches of 14.
    source = 14 if 'huge' in filename else backbone['patch_size']
    backbone.update(arch=dict(ARCH), img_size=SIDE - SIDE % backbone['patch_size'])
    backbone['init_cfg']['checkpoint'] = tiny.backbone(source, backbone.get('layer_scale_init_value', 0.0))
    if 'pos_embed_size' in backbone:
        backbone['pos_embed_size'] = 3 * backbone['patch_size']  # as many patches as the tiny pre-training has
    if 'window_size' in backbone:
        backbone['window_size'] = 3
    if 'out_indices' in backbone:
        backbone['out_indices'] = tuple(range(DEPTH))
    if 'frozen_stages' in backbone:
        backbone['frozen_stages'] = DEPTH
    if 'size' in model['data_preprocessor']:
        model['data_preprocessor']['size'] = (SIDE, SIDE)
    if model['data_preprocessor'].get('pad_size_divisor') == 1024:
        model['data_preprocessor']['pad_size_divisor'] = SIDE
    full = {192, 384, 768, 1024, 1280}
    for _, node in walk({key: model.get(key) for key in ('neck', 'head', 'decode_head', 'auxiliary_head')}):
        for key in ('in_channels', 'input_features', 'embed_dim'):
            if isinstance(node.get(key), list):
                node[key] = [WIDTH] * len(node[key])
            elif node.get(key) in full:
                node[key] = WIDTH
        if 'channels' in node:
            # A head without convolutions of its own is as wide as the backbone.
            node['channels'] = CHANNELS if node.get('num_convs', 1) else WIDTH
    if 'rpn_head' in model:
        _shrink_detector(model)
    if 'slide' in str(model.get('test_cfg')):
        model['test_cfg'].update(crop_size=(SIDE, SIDE), stride=(SIDE // 2, SIDE // 2))


def _shrink_detector(model: dict) -> None:
    for _, node in walk(model):
        for key, value in list(node.items()):
            if value == 256 and 'channels' in key:
                node[key] = CHANNELS
            elif key == 'fc_out_channels':
                node[key] = 32
            elif key in ('nms_pre', 'max_per_img'):
                node[key] = 40
            elif key == 'num' and value == 512:
                node[key] = 16  # RoIs; of the anchors as many as usual, so that every level has some


def _shorten(cfg: Config, images: int) -> None:
    dataset = cfg.train_dataloader.dataset.dataset
    dataset['indices'] = images  # one step is one epoch
    if 'max_epochs' in cfg.train_cfg:
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
    else:
        cfg.train_cfg.update(max_iters=1, val_interval=1)
        cfg.default_hooks.checkpoint.interval = 1
    # No warm-up, which would make the one step too small to be seen.
    last = cfg.param_scheduler[-1]
    length = cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('max_iters'))
    last.update(begin=0, end=length + 1)
    cfg.param_scheduler = [last]
    if 'milestones' in last:
        last['milestones'] = [length + 1]
