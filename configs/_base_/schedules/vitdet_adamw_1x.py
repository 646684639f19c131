# Twelve epochs on a single machine with 8 GPUs: the project's choice. Batch 16 and drops after epochs 8 and 11 as
# mmdet's 1x schedule, AdamW at 1e-4 as is usual for transformers at that batch, the rest as ViTDet (arXiv 2203.16527).
max_epochs = 12

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
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[8, 11], gamma=0.1),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# The learning rate follows the real batch: mmengine multiplies it by GPUs x batch_size / base_batch_size.
auto_scale_lr = dict(base_batch_size=16, enable=True)
