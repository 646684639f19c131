# MAE's optimizer and warm-up (arXiv 2111.06377, appendix A.1) for 300 epochs; the number of epochs is the
# project's choice, Img2Vec's paper gives none.
max_epochs = 300
warmup_epochs = 40

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='AdamW',
        lr=1.5e-4 * 2048 / 256,  # for the total batch of 8 x 256 images
        betas=(0.9, 0.95),
        weight_decay=0.05,
    ),
    # The shares of a fusion, `proj_weights`, are decayed, as mmpretrain does for MFF (arXiv 2308.00261).
    # By names and kinds of layer rather than by `flat_decay_mult`: under FSDP every parameter is flat.
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'pos_embed': dict(decay_mult=0.0),
            'cls_token': dict(decay_mult=0.0),
            'mask_token': dict(decay_mult=0.0),
            'query_token': dict(decay_mult=0.0),
            '.gamma': dict(decay_mult=0.0),  # LayerScale
        },
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=warmup_epochs, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs)

# The learning rate follows the real batch, whatever number of GPUs and batch size a run is started with: mmengine
# multiplies it by GPUs x batch_size / base_batch_size. It leaves gradient accumulation out on both sides, so
# base_batch_size is the total batch that `lr` is for, divided by accumulative_counts.
auto_scale_lr = dict(base_batch_size=2048, enable=True)
