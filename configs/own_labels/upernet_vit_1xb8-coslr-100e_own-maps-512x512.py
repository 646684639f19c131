"""A segmenter of your own classes, UPerNet, one GPU.

To be set are the folder, `maps` below or IMG2VEC_OWN_MAPS: images/{train,val} and maps/{train,val}, PNG files of the
values 0, 1, ... (255 is ignored); and the names of the classes in that order, with commas, `own_data.classes` or
IMG2VEC_OWN_CLASSES. Width, depth and recipe (ViT-S, B, L) are read from the backbone's file.
Recipe: MAE's (arXiv 2111.06377, appendix A.4) in rates and decay, 100 epochs, a cosine. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth IMG2VEC_OWN_MAPS=FOLDER IMG2VEC_OWN_CLASSES=ground,road \
    python tools/train.py configs/own_labels/upernet_vit_1xb8-coslr-100e_own-maps-512x512.py
"""

_base_ = [
    '../_base_/models/upernet_vit.py',
    '../_base_/datasets/ade20k_512x512.py',
    '../_base_/schedules/upernet_adamw_160k.py',
    '../_base_/downstream_runtime.py',
]

maps = '{{$IMG2VEC_OWN_MAPS:data/my_maps}}'
own_data = dict(
    classes='{{$IMG2VEC_OWN_CLASSES:unnamed}}',
    checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}',
    arch=None,  # 'base', ...: for a file that does not tell its number of attention heads
    sizes=dict(
        small={'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75},
        base={},
        large={
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.95,
            'optim_wrapper.optimizer.lr': 4e-5 * 8 / 16,
            'model.backbone.drop_path_rate': 0.2,
            'model.backbone.out_indices': (7, 11, 15, 23),
        },
    ),
)

_files = dict(type='BaseSegDataset', data_root=maps, img_suffix='.jpg', seg_map_suffix='.png', reduce_zero_label=False)
_load = dict(type='LoadAnnotations', reduce_zero_label=False)
_train, _val = _base_.train_dataloader.dataset.dataset.pipeline, _base_.val_dataloader.dataset.pipeline
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        dataset=dict(
            **_files,
            data_prefix=dict(img_path='images/train', seg_map_path='maps/train'),
            pipeline=[_load if step['type'] == 'LoadAnnotations' else step for step in _train],
        )
    ),
)
val_dataloader = dict(
    dataset=dict(
        **_files,
        data_prefix=dict(img_path='images/val', seg_map_path='maps/val'),
        pipeline=[_load if step['type'] == 'LoadAnnotations' else step for step in _val],
    )
)
test_dataloader = val_dataloader

max_epochs = 100
optim_wrapper = dict(optimizer=dict(lr=1e-4 * 8 / 16))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=5, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(_delete_=True, type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=10)
log_processor = dict(by_epoch=True)
auto_scale_lr = dict(base_batch_size=8)
