# CAE v2's optimizer and schedule (official code): 300 epochs, 10 of them warm-up.
max_epochs = 300
warmup_epochs = 10

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    # lr is for the total batch of 8 x 256 images.
    optimizer=dict(type='AdamW', lr=1.5e-3, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=3.0),
    # One-dimensional parameters alone are spared, as in the official code: class and mask token, and the shares of a
    # fusion, are decayed. By names and kinds of layer rather than by `flat_decay_mult`: under FSDP every parameter is
    # flat.
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'pos_embed': dict(decay_mult=0.0),
            '.gamma': dict(decay_mult=0.0),  # LayerScale
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs)

# The learning rate follows the real batch: mmengine multiplies it by GPUs x batch_size / base_batch_size.
auto_scale_lr = dict(base_batch_size=2048, enable=True)
