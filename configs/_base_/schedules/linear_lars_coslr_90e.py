# MAE's linear classifier (arXiv 2111.06377, appendix A.1): LARS without weight decay, 90 epochs, warm-up of 10. Biases
# learn at the plain rate, without LARS's factor, as in the official code.
max_epochs = 90
warmup_epochs = 10

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(
        type='mmpretrain.LARS',
        lr=0.1 * 16384 / 256,  # for the total batch of 8 x 2048 images
        momentum=0.9,
        weight_decay=0.0,
    ),
    paramwise_cfg=dict(custom_keys={'.bias': dict(lars_exclude=True)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.0,
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='mmimg2vec.CheckedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# The learning rate follows the real batch: mmengine multiplies it by GPUs x batch_size / base_batch_size. Gradients
# cannot be accumulated instead: the batch norm before the classifier would see the small batches.
auto_scale_lr = dict(base_batch_size=16384, enable=True)
