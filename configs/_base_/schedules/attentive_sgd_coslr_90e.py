# Attentive probing as CAE's official code trains it (arXiv 2202.03026): SGD with Nesterov's momentum, without weight
# decay, 90 epochs, warm-up of 10.
max_epochs = 90
warmup_epochs = 10

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    # lr is for the total batch of 8 x 1024 images.
    optimizer=dict(type='SGD', lr=0.4, momentum=0.9, nesterov=True, weight_decay=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
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
auto_scale_lr = dict(base_batch_size=8192, enable=True)
