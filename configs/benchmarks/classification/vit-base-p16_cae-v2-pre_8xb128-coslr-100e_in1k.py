"""CAE v2's ViT-B/16 fine-tuned on ImageNet-1k, 100 epochs.

Recipe: the official code's of this size (arXiv 2211.09799): a relative position bias in every block, fixed position
embeddings, and the pre-trained final norm after the mean. Expected figure: not recorded here, and not measured.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k.py 8
"""

_base_ = [
    '../../_base_/models/vit_finetune.py',
    '../../_base_/datasets/imagenet_finetune.py',
    '../../_base_/datasets/imagenet_val.py',
    '../../_base_/schedules/finetune_adamw_coslr_100e.py',
    '../../_base_/downstream_runtime.py',
]

model = dict(
    backbone=dict(
        type='mmimg2vec.RelativePositionVisionTransformer',
        fixed_positions=True,
        layer_scale_init_value=0.1,  # the checkpoint has these weights
    ),
)
# For the total batch of 8 x 128 images.
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(layer_decay_rate=0.75))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / 2e-4
