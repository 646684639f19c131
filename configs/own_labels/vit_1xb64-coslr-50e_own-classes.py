"""A classifier of your own classes, one GPU.

Only the folder is to be set, `labeled` below or IMG2VEC_LABELLED: train/CLASS/* and val/CLASS/*. Width, depth and
recipe (ViT-S, B, L) are read from the backbone's file, the classes are the folders.
Recipe: MAE's fine-tuning (arXiv 2111.06377, appendix A.1), 50 epochs. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth IMG2VEC_LABELLED=FOLDER \
    python tools/train.py configs/own_labels/vit_1xb64-coslr-50e_own-classes.py
"""

_base_ = [
    '../_base_/models/vit_finetune.py',
    '../_base_/datasets/imagenet_finetune.py',
    '../_base_/datasets/imagenet_val.py',
    '../_base_/schedules/finetune_adamw_coslr_100e.py',
    '../_base_/downstream_runtime.py',
]

labeled = '{{$IMG2VEC_LABELLED:data/my_labeled_images}}'
own_data = dict(
    classes=None,  # the names of the folders
    checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}',
    arch=None,  # 'base', ...: for a file that does not tell its number of attention heads
    sizes=dict(
        small={'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75},
        base={},
        large={
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75,
            'optim_wrapper.optimizer.lr': 1e-3 * 64 / 256,
            'model.backbone.drop_path_rate': 0.2,
        },
    ),
)

train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='CustomDataset',
            data_root=labeled,
            data_prefix='train',
            pipeline=_base_.train_dataloader.dataset.dataset.pipeline,
        )
    ),
)
val_dataloader = dict(
    batch_size=64,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=labeled,
        data_prefix='val',
        pipeline=_base_.val_dataloader.dataset.pipeline,
    ),
)
test_dataloader = val_dataloader

max_epochs = 50
optim_wrapper = dict(optimizer=dict(lr=5e-4 * 64 / 256))
train_cfg = dict(max_epochs=max_epochs)
_base_.param_scheduler[0].end = _base_.param_scheduler[1].begin = 5
_base_.param_scheduler[1].end = max_epochs
auto_scale_lr = dict(base_batch_size=64)
