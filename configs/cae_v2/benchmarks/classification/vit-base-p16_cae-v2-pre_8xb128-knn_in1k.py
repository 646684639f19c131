"""k nearest neighbors on CAE v2's frozen ViT-B/16 (arXiv 2211.09799), ImageNet-1k.

Protocol: weighted vote of the 20 nearest training images (arXiv 1805.01978), on the class token and on the mean of the
patch tokens. Nothing is trained. Not measured here.
Starts from the backbone.pth of cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: python tools/probe.py configs/cae_v2/benchmarks/classification/vit-base-p16_cae-v2-pre_8xb128-knn_in1k.py
"""

_base_ = [
    '../../../_base_/models/vit_features.py',
    '../../../_base_/datasets/imagenet_knn.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        layer_scale_init_value=0.1,  # the checkpoint has these weights
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
