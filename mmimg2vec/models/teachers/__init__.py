"""Frozen networks that look at images: of mmpretrain, timm, transformers, CLIP, or an earlier run."""

from mmimg2vec.models.teachers.base import Features, Teacher
from mmimg2vec.models.teachers.clip_tower import CLIPVisionTower
from mmimg2vec.models.teachers.timm_teacher import TimmTeacher
from mmimg2vec.models.teachers.transformers_teacher import TransformersTeacher

__all__ = ['CLIPVisionTower', 'Features', 'Teacher', 'TimmTeacher', 'TransformersTeacher']
