"""Shapes, the embedded data: procedurally drawn scenes in three real layouts (ImageNet, COCO, ADE20K)."""

from mmimg2vec.datasets.shapes.scenes import draw_scene
from mmimg2vec.datasets.shapes.vocabulary import CLASSES, SEGMENTATION_CLASSES, SEGMENTATION_PALETTE
from mmimg2vec.datasets.shapes.world import Shapes, ShapesOptions, write_shapes

__all__ = [
    'CLASSES',
    'SEGMENTATION_CLASSES',
    'SEGMENTATION_PALETTE',
    'Shapes',
    'ShapesOptions',
    'draw_scene',
    'write_shapes',
]
