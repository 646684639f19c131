"""Models small enough for a test: an Img2Vec, its batches and losses, a trained-looking network, a Mask R-CNN."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from contracts import random_mask
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from torch import nn

ARCH = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
IMG2VEC = dict(
    type='mmimg2vec.Img2Vec',
    backbone=dict(type='mmimg2vec.MaskedVisionTransformer', arch=ARCH, img_size=64, patch_size=16),
    fusion=dict(type='mmimg2vec.MultiLevelFusion', blocks=(0, 2, 3)),
    neck=dict(type='mmimg2vec.CrossAttentionDecoder', embed_dims=16, depth=1, num_heads=2),
    head=dict(type='mmimg2vec.FeatureHead', share=0.5),
    target_generator=dict(
        type='mmimg2vec.BackboneTargetGenerator',
        teacher=dict(type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4),
        output_stride=16,
        random_weights=0,
    ),
    data_preprocessor=dict(mean=[120.0, 115, 100], std=[58.0, 57, 57], to_rgb=True),
)


def build(cfg: dict[str, Any], **changes: Any) -> nn.Module:
    """The model of a config, initialized; a change is merged into a part, or takes its place where it is None."""
    torch.manual_seed(0)
    cfg = copy.deepcopy(cfg)
    for name, change in changes.items():
        cfg[name] = change if change is None else {**cfg[name], **change}
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def batch(channels: int = 3, masked: int = 12, seed: int = 0) -> dict[str, Any]:
    """Four images of 64 px and their masks of 4 x 4 patches, as a dataloader gives them."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (4, channels, 64, 64), generator=generator, dtype=torch.uint8)
    mask, rank = random_mask(4, 16, masked, seed)
    return dict(inputs=images, mask=mask, token_rank=rank)


def losses(model: nn.Module, data: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What the model returns in training, of a batch as a dataloader gives it."""
    return model(**model.data_preprocessor(data, True), mode='loss')


def trained_looking(net: nn.Module) -> nn.Module:
    """The network in eval mode with batch norms as after training.

    mmpretrain starts the last norm of each block at zero, so that nothing of the block would be seen.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    net.eval()
    return net


def base_model(package: Any, name: str) -> ConfigDict:
    """Model of a ``_base_`` config that an OpenMMLab package ships."""
    return Config.fromfile(Path(package.__path__[0], '.mim/configs/_base_/models', name)).model


def mask_rcnn(mmdet: Any, backbone: dict[str, Any]) -> ConfigDict:
    """Config of mmdet's Mask R-CNN on a ViTDet, eight channels wide, of two classes."""
    model = base_model(mmdet, 'mask-rcnn_r50_fpn.py')
    model.backbone = ConfigDict(backbone)
    width = backbone['arch']['embed_dims']
    model.neck = ConfigDict(type='mmimg2vec.SimpleFeaturePyramid', in_channels=width, out_channels=8)
    model.rpn_head.update(in_channels=8, feat_channels=8)
    for part in ('bbox_roi_extractor', 'mask_roi_extractor'):
        model.roi_head[part].out_channels = 8
    model.roi_head.bbox_head.update(in_channels=8, fc_out_channels=8, num_classes=2)
    model.roi_head.mask_head.update(in_channels=8, conv_out_channels=8, num_classes=2)
    return model
