"""A tiny pre-training model with the interface that the hooks use, and a Runner around it."""

import hashlib
from uuid import uuid4

import cv2
import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn

from mmimg2vec.models import MaskedImageModel
from mmimg2vec.models.utils import TokenMask

PATCH, SIZE, WIDTH = 8, 32, 12


class ToyPreprocessor(BaseDataPreprocessor):
    def forward(self, data, training=False):
        data = self.cast_data(dict(data))
        data['inputs'] = data['inputs'].float() / 255
        if 'mask' in data:
            data['mask'] = TokenMask.checked(data['mask'], data.pop('token_rank'))
        return data


class ToyBackbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.norm = nn.LayerNorm(WIDTH)
        self.drop = nn.Dropout(0.2)

    def forward(self, images):
        tokens = self.drop(self.norm(self.proj(images).flatten(2).transpose(1, 2)))
        return (torch.cat([tokens.mean(1, keepdim=True), tokens], 1),)


class ToyTargets:
    has_teacher = False

    def load(self):
        pass

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(6, 3 * PATCH * PATCH, generator=generator)

    @property
    def fingerprint(self):
        return hashlib.sha256(self.weight.numpy().tobytes()).hexdigest()

    def __call__(self, images):
        return nn.functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2) @ self.weight.T


@MODELS.register_module(force=True)
class ToyPretrainer(MaskedImageModel):
    def __init__(self, teacher_seed=0):
        BaseModel.__init__(self, data_preprocessor=ToyPreprocessor())
        self.backbone = ToyBackbone()
        self.head = nn.Linear(WIDTH, 6)
        self.target_generator = ToyTargets(teacher_seed)

    def check_inputs(self, inputs, mask):
        pass

    def extract_feat(self, inputs):
        return self.backbone(inputs)

    def forward(self, inputs, mask=None, data_samples=None, mode='tensor', **_):
        if mode == 'tensor':
            return self.extract_feat(inputs)
        tokens = self.head(self.backbone(inputs)[0][:, 1:])
        errors = (tokens - self.target_generator(inputs)).repeat_interleave(mask.per_image, 0)
        return dict(loss=errors[mask.masked].square().mean())

    def predict_features(self, inputs, mask):
        mask = mask.first
        target = self.target_generator(inputs)
        positions = mask.masked_index
        tokens = self.head(self.backbone(inputs)[0][:, 1:])
        index = positions[..., None].expand(-1, -1, tokens.shape[-1])
        return dict(positions=positions, prediction=tokens.gather(1, index), target=target, mask=mask.masked)


def write_images(folder, count=12):
    """Write ``count`` images of two classes, dark and bright, into class folders."""
    rng = np.random.RandomState(0)
    for index in range(count):
        path = folder / f'class_{index % 2}'
        path.mkdir(parents=True, exist_ok=True)
        image = rng.randint(0, 120, (40, 48, 3)) + (index % 2) * 120
        cv2.imwrite(str(path / f'{index:02d}.png'), image.astype(np.uint8))
    return folder


def train_dataloader(folder, masks_per_image=1, **kwargs):
    pipeline = [
        dict(type='mmimg2vec.LoadImage'),
        dict(type='mmpretrain.RandomResizedCrop', scale=SIZE, crop_ratio_range=(0.3, 1.0)),
        dict(type='mmimg2vec.RandomTokenMask', patch_size=PATCH, mask_ratio=0.75, masks_per_image=masks_per_image),
        dict(type='mmimg2vec.PackMaskedInputs'),
    ]
    dataset = dict(type='mmpretrain.CustomDataset', data_root=str(folder), with_label=False, pipeline=pipeline)
    return dict(
        batch_size=4,
        num_workers=0,
        drop_last=True,
        sampler=dict(type='mmimg2vec.SeededSampler'),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='mmimg2vec.SeededDataset', dataset=dataset),
        **kwargs,
    )


def labeled_dataloader(folder):
    pipeline = [
        dict(type='mmpretrain.LoadImageFromFile'),
        dict(type='mmpretrain.Resize', scale=(SIZE, SIZE)),
        dict(type='mmpretrain.PackInputs'),
    ]
    return dict(
        batch_size=5,
        num_workers=0,
        dataset=dict(type='mmpretrain.CustomDataset', data_root=str(folder), pipeline=pipeline),
    )


def runner_of(folder, work_dir, epochs=3, hooks=(), **kwargs):
    """Runner of the toy model; ``kwargs`` replace parts of its config."""
    config = dict(
        model=dict(type='ToyPretrainer'),
        work_dir=str(work_dir),
        train_dataloader=train_dataloader(folder),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(
            type='mmimg2vec.AutocastOptimWrapper', dtype='float32', optimizer=dict(type='AdamW', lr=1e-2)
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True),
            dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=4, convert_to_iter_based=True),
        ],
        default_hooks=dict(
            checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1, max_keep_ckpts=2),
            logger=dict(type='LoggerHook', interval=1),
        ),
        custom_hooks=[dict(type='mmimg2vec.SeededStepHook'), *hooks],
        randomness=dict(seed=1),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        experiment_name=f'toy_{uuid4().hex}_{work_dir.name}',
        log_level='WARNING',
        default_scope='mmpretrain',
    )
    return Runner(**{**config, **kwargs})
