"""Shapes, the embedded data: procedurally drawn scenes in three real layouts (ImageNet, COCO, ADE20K)."""

from mmimg2vec.datasets.shapes.contact_sheet import contact_sheet
from mmimg2vec.datasets.shapes.layouts import ShapesOptions, write_shapes
from mmimg2vec.datasets.shapes.scenes import Scene, SceneObject, draw_scene
from mmimg2vec.datasets.shapes.vocabulary import CLASSES, SEGMENTATION_CLASSES, SEGMENTATION_PALETTE

__all__ = [
    'CLASSES',
    'SEGMENTATION_CLASSES',
    'SEGMENTATION_PALETTE',
    'Scene',
    'SceneObject',
    'ShapesOptions',
    'contact_sheet',
    'draw_scene',
    'write_shapes',
]
