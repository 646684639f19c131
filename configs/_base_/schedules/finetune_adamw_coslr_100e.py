# MAE's fine-tuning over 100 epochs (arXiv 2111.06377, appendix A.1): AdamW, layer-wise decay of the learning rate,
# cosine. The rates are those of ViT-B; the configs of larger ones have rates and epochs of their own.
max_epochs = 100
warmup_epochs = 5

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='AdamW',
        lr=5e-4 * 1024 / 256,  # for the total batch of 8 x 128 images
        betas=(0.9, 0.999),
        weight_decay=0.05,
    ),
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
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        # 1e-6 of the heads' rate above; each layer ends at the same share of its own, as in the official code. (A floor
        # of 1e-6 for all would be above the peak of the lowest layers where the decay is strong.)
        eta_min_ratio=1e-6 / (5e-4 * 1024 / 256),
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# The learning rate follows the real batch: mmengine multiplies it by GPUs x batch_size / base_batch_size.
auto_scale_lr = dict(base_batch_size=1024, enable=True)
