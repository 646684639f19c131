# Everything around a pre-training run: hooks, environment, logging, randomness.
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmimg2vec'], allow_failed_imports=False)

default_hooks = dict(
    # As mmengine's own, without a wait for the device in every step.
    runtime_info=dict(type='mmimg2vec.LoggedStepsHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Written whole or not at all, so that a run may be killed at any moment.
    # Beside those of the epochs one every half an hour, so that little of a long epoch is lost.
    checkpoint=dict(type='mmimg2vec.SafeCheckpointHook', interval=1, max_keep_ckpts=2, minutes=30),
)
custom_hooks = [
    # One run per folder, which resumes from its newest whole checkpoint, with the batch and the schedule of before.
    dict(type='mmimg2vec.RunFolderHook'),
    dict(type='mmimg2vec.ResumeGuardHook'),
    dict(type='mmimg2vec.SeededStepHook'),
    dict(type='mmimg2vec.TeacherGuardHook'),
    # Unreadable images are replaced and listed; beyond this share of the dataset they end the run.
    dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.01),
    # Updates that are not finite are left out and listed; so many in a row end the run.
    dict(type='mmimg2vec.FiniteGuardHook', max_in_a_row=5),
    # A line in the log where the tokens become alike, or the loss does not fall.
    dict(type='mmimg2vec.CollapseHook'),
    # SIGTERM and SIGUSR1 leave a checkpoint; exit status 75 says that the run wants to go on.
    dict(type='mmimg2vec.PreemptionHook'),
    dict(type='mmimg2vec.LogHistoryHook'),
    dict(type='mmimg2vec.ThroughputHook'),
    dict(type='mmimg2vec.GradNormHook'),
    dict(type='mmimg2vec.FeaturePictureHook', interval=10),
    # WORK_DIR/backbone.pth, from which downstream configs start.
    dict(type='mmimg2vec.BackboneExportHook'),
]

env_cfg = dict(
    cudnn_benchmark=True,  # the input size is fixed, and the teacher is convolutional
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# Several processes: gradients lie in the buckets that are sent. Not static_graph=True as well: it fails where the first
# step only accumulates (optim_wrapper.accumulative_counts).
model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=False, gradient_as_bucket_view=True)
visualizer = dict(
    type='Visualizer',
    vis_backends=[
        dict(type='mmimg2vec.TolerantVisBackend')
        # dict(type='TensorboardVisBackend'),
        # dict(type='WandbVisBackend', init_kwargs=dict(project='mmimg2vec')),
    ],
)
log_level = 'INFO'

# Images, masks and dropout are functions of this seed, whatever the number of workers and processes.
randomness = dict(seed=0)
load_from = None
resume = False  # `--resume` on the command line goes on from the newest checkpoint of the work directory
