"""A shipped pre-training config at a size that a test can run, everything else left as it is."""

import copy
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import torch
from config_checks.nodes import stripped, walk
from mmengine.config import Config
from mmengine.registry import MODELS

GRID = 4
ARCH = dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96)
TEACHER = dict(depth=18, base_channels=8, stem_channels=8)
CLIP = dict(arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=128), img_size=16 * GRID)


class TinyFiles:
    """Images in two class folders, and weights as the loaders find them: of a teacher, and of students."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.RandomState(0)
        for split, count in (('train', 3), ('val', 2)):
            for index in range(count):
                path = folder / 'images' / split / f'class_{index % 2}'
                path.mkdir(parents=True, exist_ok=True)
                image = rng.randint(0, 256, (72, 80, 3), dtype=np.uint8)
                cv2.imwrite(str(path / f'{index}.jpg'), image)
        torch.manual_seed(0)
        # Flat names, as the DINO release has.
        teacher = MODELS.build(dict(type='mmpretrain.ResNet', **TEACHER))
        self.teacher = self._save(teacher, '', 'teacher.pth')
        self.clip = clip_file(folder)

    @property
    def images(self) -> Path:
        return self.folder / 'images'

    def student(self, backbone: dict) -> str:
        """Weights of a tiny student that was trained on larger images: its position embedding has to be resized."""
        backbone = {**backbone, 'img_size': (GRID + 2) * backbone['patch_size']}
        del backbone['init_cfg'], backbone['pos_embed']
        backbone['type'] = 'mmpretrain.VisionTransformer'
        text = f'model = {dict(backbone=backbone)!r}'
        return self._save(MODELS.build(backbone), 'backbone.', f'student{len(backbone)}.pth', {'config': text})

    def _save(self, module: torch.nn.Module, prefix: str, name: str, meta: dict | None = None) -> str:
        state = {prefix + key: value for key, value in module.state_dict().items()}
        torch.save({'state_dict': state, 'meta': meta or {}}, self.folder / name)
        return str(self.folder / name)


def clip_file(folder):
    """A tiny CLIP with the names of OpenAI's release, something of its text tower among them."""
    width, tokens, draw = 32, GRID**2 + 1, torch.Generator().manual_seed(0)
    shapes = {
        'visual.class_embedding': (width,),
        'visual.positional_embedding': (tokens, width),
        'visual.conv1.weight': (width, 3, 16, 16),
        'visual.proj': (width, 512),
        'text_projection': (width, 512),
    }
    norms = ['visual.ln_pre', 'visual.ln_post']
    for index in range(2):
        block = f'visual.transformer.resblocks.{index}'
        norms += [f'{block}.ln_1', f'{block}.ln_2']
        shapes[f'{block}.attn.in_proj_weight'] = (3 * width, width)
        shapes[f'{block}.attn.in_proj_bias'] = (3 * width,)
        for name, rows, columns in (
            ('attn.out_proj', width, width),
            ('mlp.c_fc', 4 * width, width),
            ('mlp.c_proj', width, 4 * width),
        ):
            shapes[f'{block}.{name}.weight'] = (rows, columns)
            shapes[f'{block}.{name}.bias'] = (rows,)
    state = {name: torch.randn(shape, generator=draw) * 0.2 for name, shape in shapes.items()}
    for name in norms:
        state[f'{name}.weight'], state[f'{name}.bias'] = torch.ones(width), torch.zeros(width)
    torch.save(state, folder / 'clip.pth')
    return str(folder / 'clip.pth')


def quiet_copy(cfg: Config, work_dir: Path) -> Config:
    """A copy of a shipped config that writes into ``work_dir`` and says little."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{Path(cfg.filename).stem}_{uuid4().hex}'  # of the logger too; runs seed numpy
    cfg.log_level = 'ERROR'
    return cfg


def shrink(cfg: Config, files: TinyFiles, work_dir: Path) -> Config:
    """Make of a shipped pre-training config one that runs one iteration of two images of 4 x 4 patches on the CPU."""
    cfg = quiet_copy(cfg, work_dir)
    shrink_model(cfg.model, files)
    dataset = cfg.train_dataloader.dataset.dataset
    if dataset.type == 'mmpretrain.ImageNet':
        dataset.update(data_root=str(files.images), metainfo=dict(classes=['class_0', 'class_1']))
    else:
        dataset.data_root = str(files.images / 'train')
    shrink_images(cfg, cfg.model.backbone.img_size)
    shrink_knn(cfg, files.images)
    shorten(cfg)
    if 'strategy' in cfg:
        # FSDP needs a GPU; its runner and hooks can be tried all the same.
        cfg.strategy = dict(type='SingleDeviceStrategy')
    return cfg


def shorten(cfg: Config, epochs: int = 1) -> None:
    """A few epochs, without warm-up, which would make the one step too small to be seen."""
    cfg.train_cfg.max_epochs = epochs
    warmup, cosine = cfg.param_scheduler
    warmup.update(start_factor=1.0, end=1)
    cosine.update(begin=1, end=epochs + 1)


def shrink_images(cfg: Config, size: int) -> None:
    """Training images of ``size`` pixels, two at a time, read by the process itself."""
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for _, node in walk(cfg._cfg_dict):
        if node.get('type') in ('mmpretrain.RandomResizedCrop', 'mmimg2vec.LoadRandomResizedCrop'):
            node['scale'] = size
        elif node.get('type') == 'mmpretrain.CenterCrop':
            node['crop_size'] = size
        elif node.get('type') == 'mmimg2vec.BlockTokenMask':
            node['min_block'] = 2  # of 16 patches
        elif str(node.get('type')).startswith('mmpretrain.torchvision/'):
            node['size'] = size


def shrink_knn(cfg: Config, folder: Path) -> None:
    """A vote of two images of ``folder``, after each epoch."""
    for hook in cfg.custom_hooks:
        if hook['type'] == 'mmimg2vec.KNNHook':
            hook.update(k=2, interval=1)
            for name in ('bank_dataloader', 'query_dataloader'):
                hook[name].update(num_workers=0, batch_size=1)
                hook[name]['dataset']['data_root'] = str(folder)


def shrink_model(model: dict, files: TinyFiles) -> None:
    backbone, neck, generator = model['backbone'], model['neck'], model['target_generator']
    backbone['arch'] = dict(ARCH)
    backbone['img_size'] = GRID * backbone['patch_size']
    start = dict(backbone.get('init_cfg') or {}).get('checkpoint')
    if 'init_cfg' in backbone:
        backbone['init_cfg']['checkpoint'] = files.student(backbone)
    if model.get('fusion'):
        model['fusion']['blocks'] = (0, 2)
    if stripped(neck['type']) == 'LatentRegressor':
        # The regressor is as wide as the student, but for the tiny one half as wide.
        neck.update(embed_dims=24 if neck['embed_dims'] == 96 else 48, depth=2, num_heads=3)
    else:
        neck.update(embed_dims=32, depth=1, num_heads=2)
    if stripped(generator['type']) == 'CLIPTargetGenerator':
        generator['teacher'].update(copy.deepcopy(CLIP))
        generator['teacher']['init_cfg']['checkpoint'] = files.clip
    elif start and generator['teacher']['init_cfg']['checkpoint'] == start:  # one file is student and teacher
        generator['teacher']['init_cfg']['checkpoint'] = backbone['init_cfg']['checkpoint']
    elif 'teacher' in generator:
        generator['teacher'].update(TEACHER)
        generator['teacher']['init_cfg']['checkpoint'] = files.teacher
    if 'input_size' in generator:
        generator['input_size'] = GRID * generator['output_stride']
