# UPerNet over 160k iterations of 16 images, as BEiT and MAE (arXiv 2111.06377, appendix A.4) train it: AdamW,
# layer-wise decay, linear decrease. The rates are those of ViT-B.
max_iters = 160000
warmup_iters = 1500

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mmimg2vec.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'pos_embed': dict(decay_mult=0.0),
            'cls_token': dict(decay_mult=0.0),
            '.gamma': dict(decay_mult=0.0),  # LayerScale
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(type='mmimg2vec.CheckedIterTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
log_processor = dict(by_epoch=False)

# The learning rate follows the real batch: mmengine multiplies it by GPUs x batch_size / base_batch_size. The number of
# iterations does not: with fewer GPUs, raise max_iters.
auto_scale_lr = dict(base_batch_size=16, enable=True)
