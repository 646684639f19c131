"""k nearest neighbors on any frozen vision transformer, ImageNet-1k.

Protocol: weighted vote of the 20 nearest training images (arXiv 1805.01978), on the class token and on the mean of the
patch tokens. Nothing is trained. The architecture is read from the backbone.pth. Not measured here.
Run: IMG2VEC_BACKBONE=backbone.pth python tools/probe.py configs/benchmarks/classification/vit_8xb128-knn_in1k.py
"""

_base_ = [
    '../../_base_/models/vit_features.py',
    '../../_base_/datasets/imagenet_knn.py',
    '../../_base_/downstream_runtime.py',
]
