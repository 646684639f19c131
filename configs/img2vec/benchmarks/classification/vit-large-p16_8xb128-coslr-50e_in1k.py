"""ViT-L/16 fine-tuned on ImageNet-1k, 50 epochs.

Recipe: MAE's (arXiv 2111.06377, appendix A.1), with which MAE itself reports 85.9 %.
Paper: arXiv 2304.12535 reports 86.7 % for its fine-tuned ViT-L, recipe not stated; not measured here.
Starts from the backbone.pth of img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k;
environment variable IMG2VEC_BACKBONE names another.
Run: bash tools/dist_train.sh configs/img2vec/benchmarks/classification/vit-large-p16_8xb128-coslr-50e_in1k.py 8
"""

_base_ = [
    '../../../_base_/models/vit_finetune.py',
    '../../../_base_/datasets/imagenet_finetune.py',
    '../../../_base_/schedules/finetune_adamw_coslr_50e.py',
    '../../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='{{$IMG2VEC_BACKBONE:work_dirs/img2vec_vit-large-p16_8xb256-amp-coslr-800e_in1k/backbone.pth}}'
        ),
    ),
    head=dict(in_channels=1024),
)
