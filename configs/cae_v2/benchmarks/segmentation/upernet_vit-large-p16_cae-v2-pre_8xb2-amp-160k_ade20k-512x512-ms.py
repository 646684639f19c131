"""UPerNet on CAE v2's ViT-L/16, ADE20K: tested at six sizes, each also flipped (tests only; trained by
the config without -ms).

Recipe and figures: upernet_vit-large-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512.py
(arXiv 2211.09799; not measured here).
Run: python tools/test.py configs/cae_v2/benchmarks/segmentation/upernet_vit-large-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512-ms.py CHECKPOINT
"""

_base_ = ['upernet_vit-large-p16_cae-v2-pre_8xb2-amp-160k_ade20k-512x512.py']

model = dict(_delete_=True, type='SegTTAModel', module=_base_.model)
test_dataloader = dict(dataset=dict(pipeline=_base_.tta_pipeline))

train_cfg = None
train_dataloader = None
optim_wrapper = None
param_scheduler = None
auto_scale_lr = None
val_cfg = None
val_dataloader = None
val_evaluator = None
