"""Mask R-CNN on ViTDet-S with 12 heads from CAE v2, COCO, 12 epochs on one machine.

Recipe: the project's choice, as that of ViT-B with the layer decay of its fine-tuning.
Paper: arXiv 2211.09799. No figure is known for it, and none was measured here.
Starts from the backbone.pth of cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/cae_v2/benchmarks/detection/mask-rcnn_vitdet-small-h12-p16-sfp_cae-v2-pre_8xb2-ms-1x_coco.py 8
"""

_base_ = ['mask-rcnn_vitdet-base-p16-sfp_cae-v2-pre_8xb2-ms-1x_coco.py']

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536),
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-small-h12-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
    neck=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
