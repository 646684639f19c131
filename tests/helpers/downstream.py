"""Tiny but real runs of the three tasks on a small Shapes: a classifier, Mask R-CNN and a segmentor."""

from pathlib import Path
from uuid import uuid4

import mmdet
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.models.backbones import VisionTransformer

from mmimg2vec.datasets.shapes import CLASSES, ShapesOptions, write_shapes

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
SIZE = 64


def small_shapes(folder):
    """Twelve scenes for training, three for validation, of 64 px."""
    write_shapes(folder / 'shapes', ShapesOptions(scenes=12, val_scenes=3, size=SIZE, crop=16))
    return folder / 'shapes'


def pretrained(path, prefix='backbone.', extra=(), **kwargs):
    """Write a backbone as pre-training does: with a class token, at another image size."""
    torch.manual_seed(1)
    model = VisionTransformer(**{**dict(arch=ARCH, img_size=32, patch_size=8), **kwargs})
    # what a loader could mistake for another initialization must not look like one
    state = {prefix + k: torch.randn_like(v) for k, v in model.state_dict().items()}
    torch.save({'state_dict': {**state, **dict(extra)}, 'meta': {}}, path)
    return path


def init_cfg(path, prefix='backbone.'):
    return dict(type='Pretrained', checkpoint=str(path), prefix=prefix)


def backbone(path=None, **kwargs):
    settings = dict(
        type='mmpretrain.VisionTransformer',
        arch=ARCH,
        img_size=SIZE,
        patch_size=8,
        out_type='featmap',
        drop_path_rate=0.2,
        init_cfg=None if path is None else init_cfg(path),
    )
    return {**settings, **kwargs}


def classifier(root, path=None, **kwargs):
    def loader(split):
        return dict(
            batch_size=4,
            num_workers=0,
            drop_last=split == 'train',
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='mmpretrain.ImageNet',
                data_root=str(root / 'imagenet'),
                split=split,
                metainfo=dict(classes=CLASSES),
                pipeline=[
                    dict(type='mmimg2vec.LoadImage'),
                    dict(type='mmpretrain.Resize', scale=(SIZE, SIZE)),
                    dict(type='mmpretrain.PackInputs'),
                ],
            ),
        )

    model = dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='mmpretrain.ClsDataPreprocessor', mean=[127] * 3, std=[64] * 3),
        backbone=backbone(path, out_type='avg_featmap', final_norm=False),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=len(CLASSES), in_channels=16),
    )
    evaluator = dict(type='mmpretrain.Accuracy')
    return common('mmpretrain', model, loader, evaluator, dict(by_epoch=True, max_epochs=1), kwargs)


def coco_dataset(root, split='train', **kwargs):
    pipeline = [
        dict(type='mmimg2vec.LoadImage'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='mmdet.RandomFlip', prob=0.5 if split == 'train' else 0.0),
        dict(type='mmdet.PackDetInputs'),
    ]
    settings = dict(
        type='mmdet.CocoDataset',
        data_root=str(root / 'coco'),
        ann_file=f'annotations/instances_{split}.json',
        data_prefix=dict(img=f'{split}/'),
        metainfo=dict(classes=CLASSES),
        filter_cfg=dict(filter_empty_gt=True, min_size=8),
        test_mode=split != 'train',
        pipeline=pipeline,
    )
    return {**settings, **kwargs}


def detector(root, path=None, num_workers=0, **kwargs):
    def loader(split):
        dataset = coco_dataset(root, split)
        train = split == 'train'
        return dict(
            batch_size=4,
            num_workers=num_workers if train else 0,
            persistent_workers=bool(train and num_workers),
            drop_last=train,
            sampler=dict(type='mmimg2vec.SeededSampler') if train else dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='mmimg2vec.SeededDataset', dataset=dataset) if train else dataset,
        )

    models = Path(mmdet.__file__).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(models / 'mask-rcnn_r50_fpn.py').model.to_dict()
    model['backbone'] = backbone(path)
    model['neck'] = dict(type='ChannelMapper', in_channels=[16], out_channels=16, num_outs=2)
    rpn, roi = model['rpn_head'], model['roi_head']
    rpn.update(in_channels=16, feat_channels=16)
    rpn['anchor_generator'].update(strides=[8, 16], scales=[3])
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        roi[name].update(out_channels=16, featmap_strides=[8, 16])
    roi['bbox_head'].update(in_channels=16, fc_out_channels=32, num_classes=len(CLASSES))
    roi['mask_head'].update(in_channels=16, conv_out_channels=8, num_convs=1, num_classes=len(CLASSES))
    model['train_cfg']['rpn_proposal'].update(nms_pre=50, max_per_img=20)
    model['train_cfg']['rcnn']['sampler'].update(num=16)
    model['test_cfg']['rpn'].update(nms_pre=50, max_per_img=20)
    ann_file = str(root / 'coco/annotations/instances_val.json')
    evaluator = dict(type='CocoMetric', ann_file=ann_file, metric=['bbox'])
    return common('mmdet', model, loader, evaluator, dict(by_epoch=True, max_epochs=2), kwargs)


def ade_dataset(root, split='training', **kwargs):
    pipeline = [
        dict(type='mmimg2vec.LoadImage'),
        dict(type='mmseg.LoadAnnotations', reduce_zero_label=True),
        dict(type='mmseg.RandomCrop', crop_size=(48, 48), cat_max_ratio=0.9),
        dict(type='mmseg.RandomFlip', prob=0.5),
        dict(type='mmseg.PackSegInputs'),
    ]
    if split != 'training':
        del pipeline[2:4]
    settings = dict(
        type='mmseg.BaseSegDataset',
        data_root=str(root / 'ade'),
        data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'),
        metainfo=dict(classes=('ground', *CLASSES)),
        reduce_zero_label=True,
        pipeline=pipeline,
    )
    return {**settings, **kwargs}


def segmentor(root, path=None, sampler='mmimg2vec.SeededSampler', num_workers=0, **kwargs):
    def loader(split):
        train = split == 'train'
        dataset = ade_dataset(root, 'training' if train else 'validation')
        return dict(
            batch_size=4,
            num_workers=num_workers if train else 0,
            persistent_workers=bool(train and num_workers),
            drop_last=train,
            sampler=dict(type=sampler, shuffle=True) if train else dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='mmimg2vec.SeededDataset', dataset=dataset) if train and 'Seeded' in sampler else dataset,
        )

    def head(**kwargs):
        shared = dict(type='FCNHead', in_channels=16, channels=8, num_convs=1)
        return dict(shared, num_classes=1 + len(CLASSES), norm_cfg=dict(type='BN'), **kwargs)

    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[127] * 3, std=[64] * 3, size=(48, 48)),
        backbone=backbone(path, out_indices=(0, 1)),
        decode_head=head(in_index=1),
        auxiliary_head=head(in_index=0),
        test_cfg=dict(mode='whole'),
    )
    loop = dict(type='mmimg2vec.CheckedIterTrainLoop', max_iters=7, val_interval=100)
    return common('mmseg', model, loader, dict(type='IoUMetric'), loop, kwargs)


def common(scope, model, loader, evaluator, train_cfg, changes):
    """What the three tasks share; validation runs only where a config asks for it."""
    by_epoch = train_cfg.get('by_epoch', False)
    config = dict(
        model=model,
        default_scope=scope,
        custom_imports=dict(imports=[scope, 'mmimg2vec'], allow_failed_imports=False),
        train_dataloader=loader('train'),
        test_dataloader=loader('val'),
        test_cfg=dict(),
        test_evaluator=evaluator,
        train_cfg=train_cfg,
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)),
        default_hooks=dict(
            checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', by_epoch=by_epoch, interval=1 if by_epoch else 4)
        ),
        custom_hooks=[
            dict(type='mmimg2vec.SeededStepHook'),
            dict(type='mmimg2vec.InitCoverageHook'),
            dict(type='mmimg2vec.DataCheckHook'),
        ],
        randomness=dict(seed=1),
        log_level='INFO',
    )
    return Config({**config, **changes})


def runner_of(cfg, work_dir, **changes):
    cfg = Config({**cfg.to_dict(), **changes})
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{work_dir.name}_{uuid4().hex}'  # of the logger too; runs seed numpy
    return Runner.from_cfg(cfg)


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
