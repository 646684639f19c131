"""A detector of your own classes, Mask R-CNN on ViTDet, one GPU.

Only the folder is to be set, `coco` below or IMG2VEC_OWN_COCO: images/, train.json and val.json in COCO's format, with
any category ids. Width, depth and recipe (ViT-S, B, L) are read from the backbone's file, the classes are the
categories; annotations without outlines make it a detector of boxes.
Recipe: the project's choice, as ViTDet (arXiv 2203.16527) in rates and decay, 50 epochs. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth IMG2VEC_OWN_COCO=FOLDER \
    python tools/train.py configs/own_labels/mask-rcnn_vitdet-sfp_1xb4-ms-coslr-50e_own-coco.py
"""

_base_ = [
    '../_base_/models/mask-rcnn_vitdet.py',
    '../_base_/datasets/coco_ms.py',
    '../_base_/schedules/vitdet_adamw_1x.py',
    '../_base_/downstream_runtime.py',
]

coco = '{{$IMG2VEC_OWN_COCO:data/my_coco}}'
own_data = dict(
    classes=None,  # the names of the categories, in the order of the file
    checkpoint='{{$IMG2VEC_BACKBONE:backbone.pth}}',
    arch=None,  # 'base', ...: for a file that does not tell its number of attention heads
    sizes=dict(
        small={},
        base={},
        large={'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.8, 'model.backbone.drop_path_rate': 0.4},
    ),
)

train_dataloader = dict(
    batch_size=4,
    dataset=dict(dataset=dict(data_root=coco, ann_file='train.json', data_prefix=dict(img='images/'))),
)
val_dataloader = dict(dataset=dict(data_root=coco, ann_file='val.json', data_prefix=dict(img='images/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=coco + '/val.json')
test_evaluator = val_evaluator

max_epochs = 50
optim_wrapper = dict(optimizer=dict(lr=1e-4 * 4 / 16))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
auto_scale_lr = dict(base_batch_size=4)
