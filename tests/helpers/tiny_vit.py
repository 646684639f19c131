"""A ViT small enough for a test, and the file that a run would leave of it."""

import torch
from mmpretrain.models.backbones import VisionTransformer

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=41)


def random_vit(seed=0, **kwargs):
    """A ViT none of whose tensors is at its usual first value."""
    kwargs = {'arch': ARCH, 'img_size': 32, 'patch_size': 8, 'out_type': 'raw', **kwargs}
    model = VisionTransformer(**kwargs)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator) + 0.1
    model.eval()
    return model


def save_backbone(path, model, config, kind='mmpretrain.VisionTransformer', **others):
    """Save as BackboneExportHook does; ``config=None`` leaves the config out."""
    state = {f'backbone.{key}': value for key, value in model.state_dict().items()}
    meta = {}
    if config is not None:
        meta['config'] = f'model = {dict(backbone=dict(type=kind, **config), **others)!r}\n'
    torch.save({'state_dict': state, 'meta': meta}, path)
    return path
