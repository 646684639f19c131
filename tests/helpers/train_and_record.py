"""Train a tiny Img2Vec through mmengine's Runner and record the losses of every step, averaged over the ranks.

Usage: train_and_record.py IMAGES OUTPUT BATCH_PER_PROCESS [--cfg-options KEY=VALUE ...], started by python or torchrun.
"""

import argparse
import json
import os
from pathlib import Path

import torch
from mmengine import dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from tiny_models import IMG2VEC

import mmimg2vec  # noqa: F401
from mmimg2vec.engine.command_line import Options
from mmimg2vec.engine.launch import prepare_launch

RUNTIME = Path(__file__).parents[2] / 'configs' / '_base_' / 'default_runtime.py'


@HOOKS.register_module()
class RecordLosses(Hook):
    """Write the mean over ranks of each loss term, and of the weights' checksum at the end."""

    def __init__(self, output: str) -> None:
        self.output, self.rows = output, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        row = {}
        for name in ('loss_token', 'loss_global'):
            value = outputs[name].detach().double().clone()
            dist.all_reduce(value)
            row[name] = value.item() / dist.get_world_size()
        self.rows.append(row)

    def after_train(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        checksum = sum(p.double().abs().sum().item() for p in model.parameters())
        if dist.get_rank() == 0:
            with open(self.output, 'w') as file:
                json.dump({'steps': self.rows, 'checksum': checksum}, file)


def config(images: str, output: str, batch: int) -> Config:
    return Config(
        dict(
            default_scope='mmpretrain',
            work_dir=output + '.work',
            model=IMG2VEC,
            model_wrapper_cfg=Config.fromfile(RUNTIME).model_wrapper_cfg,
            train_dataloader=dict(
                batch_size=batch,
                num_workers=1,
                persistent_workers=True,
                drop_last=True,
                collate_fn=dict(type='default_collate'),
                sampler=dict(type='mmimg2vec.SeededSampler'),
                dataset=dict(
                    type='mmimg2vec.SeededDataset',
                    dataset=dict(
                        type='mmpretrain.CustomDataset',
                        data_root=images,
                        with_label=False,
                        pipeline=[
                            dict(type='mmimg2vec.LoadImage'),
                            dict(type='mmpretrain.RandomResizedCrop', scale=64),
                            dict(type='mmpretrain.RandomFlip', prob=0.5),
                            dict(type='mmimg2vec.RandomTokenMask', patch_size=16),
                            dict(type='mmimg2vec.PackMaskedInputs'),
                        ],
                    ),
                ),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(
                type='mmimg2vec.AutocastOptimWrapper',
                dtype='float32',
                optimizer=dict(type='AdamW', lr=1e-3),
                clip_grad=dict(max_norm=1.0),
            ),
            custom_hooks=[dict(type='mmimg2vec.SeededStepHook'), dict(type='RecordLosses', output=output)],
            randomness=dict(seed=7),
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('images')
    parser.add_argument('output')
    parser.add_argument('batch', type=int)
    parser.add_argument('--cfg-options', nargs='+', action=Options, default={})
    args = parser.parse_args()
    torch.set_num_threads(1)
    cfg = config(args.images, args.output, args.batch)
    cfg.merge_from_dict(args.cfg_options)
    prepare_launch(cfg, 'pytorch' if 'RANK' in os.environ else 'none')
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
