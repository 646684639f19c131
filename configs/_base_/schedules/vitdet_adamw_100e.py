# ViTDet's schedule (arXiv 2203.16527, section 4 and appendix) for ViT-B: AdamW at batch 64, layer-wise decay, two
# drops. In epochs, so that it holds for any number of GPUs: 184375 iterations of 64 images are 100 epochs, the drops at
# 163889 and 177546 are at 89 and 96.
max_epochs = 100

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    # Anchors, RoIAlign and nms are computed in float32.
    float32_outputs=('neck', 'rpn_head'),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        norm_decay_mult=0.0,
        custom_keys={
            'pos_embed': dict(decay_mult=0.0),
            '.gamma': dict(decay_mult=0.0),  # LayerScale
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[89, 96], gamma=0.1),
]
# Every tenth epoch and after the last: a validation of 5000 images takes minutes.
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# The learning rate follows the real batch: mmengine multiplies it by GPUs x batch_size / base_batch_size.
auto_scale_lr = dict(base_batch_size=64, enable=True)
