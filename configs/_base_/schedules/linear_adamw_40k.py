# A linear segmentation probe over 40k iterations of 16 images (DINOv2, arXiv 2304.07193, official configs): AdamW,
# linear decrease.
max_iters = 40000
warmup_iters = 1500

optim_wrapper = dict(
    type='mmimg2vec.AutocastOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(type='mmimg2vec.CheckedIterTrainLoop', max_iters=max_iters, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
log_processor = dict(by_epoch=False)

# As in upernet_adamw_160k.py: the rate follows the real batch, the number of iterations does not.
auto_scale_lr = dict(base_batch_size=16, enable=True)
