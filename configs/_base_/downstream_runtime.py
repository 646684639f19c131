# Around every run that starts from a pre-trained backbone: classification, detection, segmentation. The scope is named
# by the model's base. Hooks stand in `default_hooks` under a name each, so that a config can change a single one.
custom_imports = dict(imports=['mmimg2vec'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Written whole or not at all, so that a run may be killed at any moment.
    checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1, max_keep_ckpts=2),
    seeded_step=dict(type='mmimg2vec.SeededStepHook'),
    # Less than the whole backbone filled, annotations without images, or classes that are not the head's end the run
    # before its first step.
    init_coverage=dict(type='mmimg2vec.InitCoverageHook'),
    data_check=dict(type='mmimg2vec.DataCheckHook'),
    # Unreadable images are replaced and listed; beyond this share of the dataset they end the run.
    unreadable_images=dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.01),
    throughput=dict(type='mmimg2vec.ThroughputHook'),
    grad_norm=dict(type='mmimg2vec.GradNormHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,  # images of detection and segmentation differ in size
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_level = 'INFO'
randomness = dict(seed=0)
load_from = None
resume = False  # `--resume` on the command line goes on from the newest checkpoint of the work directory
