"""Cutouts: scenes of cut-out photographs with exact masks, in three real layouts (ImageNet, COCO, ADE20K)."""

from mmimg2vec.datasets.cutouts.stamps import CLASSES
from mmimg2vec.datasets.cutouts.world import SEGMENTATION_PALETTE, Cutouts, CutoutsOptions, write_cutouts

__all__ = ['CLASSES', 'SEGMENTATION_PALETTE', 'Cutouts', 'CutoutsOptions', 'write_cutouts']
