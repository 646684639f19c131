"""Ablation: ViT-B/16; 49 of 196 patches are hidden instead of 98;
class token and masked patches alone are compared.

Paper: arXiv 2211.09799, whose question it is. An ablation; not measured here.
Run: bash tools/dist_train.sh configs/cae_v2/cae-v2_vit-base-p16_8xb256-amp-maskedpatches-mask25-coslr-300e_in1k.py 8
"""

_base_ = ['cae-v2_vit-base-p16_8xb256-amp-coslr-300e_in1k.py']

model = dict(head=dict(supervision='masked'))
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline=[
                dict(step, mask_ratio=49 / 196) if 'mask_ratio' in step else step
                for step in _base_.train_dataloader.dataset.dataset.pipeline
            ]
        )
    )
)
