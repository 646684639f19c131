"""CAE v2's ViT-S/16 with 12 heads, fine-tuned on ImageNet-1k, 200 epochs.

Recipe: the official code's of this size (arXiv 2211.09799), as that of ViT-B beside it.
Expected figure: not recorded here, and not measured.
Run: IMG2VEC_BACKBONE=backbone.pth bash tools/dist_train.sh \
    configs/benchmarks/classification/vit-small-h12-p16_cae-v2-pre_8xb128-coslr-200e_in1k.py 8
"""

_base_ = ['vit-base-p16_cae-v2-pre_8xb128-coslr-100e_in1k.py']

model = dict(
    backbone=dict(arch=dict(_delete_=True, embed_dims=384, num_layers=12, num_heads=12, feedforward_channels=1536)),
    head=dict(in_channels=384),
)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
max_epochs = 200
warmup_epochs = 20
train_cfg = dict(max_epochs=max_epochs)
_base_.param_scheduler[0].end = _base_.param_scheduler[1].begin = warmup_epochs
_base_.param_scheduler[1].update(end=max_epochs, eta_min_ratio=1e-6 / 4e-4)
