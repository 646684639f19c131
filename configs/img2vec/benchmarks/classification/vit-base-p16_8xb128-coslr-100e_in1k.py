"""ViT-B/16 fine-tuned on ImageNet-1k, 100 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 83.6 %.
Paper: arXiv 2304.12535 reports 85.1 % for its fine-tuned ViT-B, recipe not stated; not measured here.
Starts from the backbone.pth of img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/img2vec/benchmarks/classification/vit-base-p16_8xb128-coslr-100e_in1k.py 8
"""

_base_ = [
    '../../../_base_/models/vit_finetune.py',
    '../../../_base_/datasets/imagenet_finetune.py',
    '../../../_base_/schedules/finetune_adamw_coslr_100e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/img2vec_vit-base-p16_8xb256-amp-coslr-300e_in1k/backbone.pth}}'
        ),
    ),
)
