# Around every run that starts from a pre-trained backbone: classification, detection, segmentation. The scope is named
# by the model's base. Hooks stand in `default_hooks` under a name each, so that a config can change a single one.
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
    # One run per folder, which resumes from its newest whole checkpoint, with the batch and the schedule of before.
    run_folder=dict(type='mmimg2vec.RunFolderHook'),
    resume_guard=dict(type='mmimg2vec.ResumeGuardHook'),
    seeded_step=dict(type='mmimg2vec.SeededStepHook'),
    # Less than the whole backbone filled, annotations without images, or classes that are not the head's end the run
    # before its first step.
    init_coverage=dict(type='mmimg2vec.InitCoverageHook'),
    data_check=dict(type='mmimg2vec.DataCheckHook'),
    # Unreadable images are replaced and listed; beyond this share of the dataset they end the run.
    unreadable_images=dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.01),
    # Updates that are not finite are left out and listed; so many in a row end the run.
    finite_guard=dict(type='mmimg2vec.FiniteGuardHook', max_in_a_row=5),
    # SIGTERM and SIGUSR1 leave a checkpoint; exit status 75 says that the run wants to go on.
    preemption=dict(type='mmimg2vec.PreemptionHook'),
    log_history=dict(type='mmimg2vec.LogHistoryHook'),
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
