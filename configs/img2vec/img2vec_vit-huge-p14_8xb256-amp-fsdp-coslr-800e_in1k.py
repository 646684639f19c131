"""Img2Vec, ViT-H/14, its weights and optimizer state sharded over the GPUs (FSDP).

Paper: arXiv 2304.12535. Runs of several processes are not measured here.
Needs GPUs: torch has no FSDP on the CPU.
Run: bash tools/dist_train.sh configs/img2vec/img2vec_vit-huge-p14_8xb256-amp-fsdp-coslr-800e_in1k.py 8
"""

_base_ = ['img2vec_vit-huge-p14_8xb256-amp-coslr-800e_in1k.py']

runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    # Whole tensors in checkpoints: one file, which any number of GPUs resumes and downstream configs read.
    state_dict_cfg='full',
    model_wrapper=dict(
        # One shard unit per block. The teacher's weights are buffers, which FSDP leaves whole on every GPU.
        auto_wrap_policy=dict(type='mmimg2vec.engine.fsdp.wrap_transformer_blocks'),
        mixed_precision=dict(
            param_dtype='bfloat16',
            reduce_dtype='float32',
            # The teacher gets its images unrounded; the student's layers are cast by the optimizer wrapper.
            cast_root_forward_inputs=False,
        ),
    ),
)

# Without GradNormHook and FeaturePictureHook: the one would see this GPU's shard of the gradients only, the other
# calls the model's parts without FSDP gathering their weights.
custom_hooks = [
    dict(type='mmimg2vec.SeededStepHook'),
    dict(type='mmimg2vec.TeacherGuardHook'),
    dict(type='mmimg2vec.UnreadableImagesHook', max_share=0.01),
    dict(type='mmimg2vec.ThroughputHook'),
    dict(type='mmimg2vec.BackboneExportHook'),
]
