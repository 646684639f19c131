"""Composed scenes with exact masks, and how any world of them is written in three real layouts."""

from mmimg2vec.datasets.scenes.contact_sheet import contact_sheet
from mmimg2vec.datasets.scenes.layouts import SceneOptions, World, write_scenes
from mmimg2vec.datasets.scenes.scene import Scene, SceneObject

__all__ = ['Scene', 'SceneObject', 'SceneOptions', 'World', 'contact_sheet', 'write_scenes']
