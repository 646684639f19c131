"""Mask R-CNN on ViTDet-L from CAE v2, COCO, 12 epochs on one machine.

Recipe: the project's choice, as that of ViT-B with ViTDet-L's layer decay.
Paper: arXiv 2211.09799. No figure is known for it, and none was measured here.
Starts from the backbone.pth of cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/detection/mask-rcnn_vitdet-large-p16-sfp_cae-v2-pre_8xb2-ms-1x_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_cae-v2-pre_8xb2-ms-1x_coco.py']

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.2,
        layer_scale_init_value=1e-5,  # as in pre-training; the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-large-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
