from mmimg2vec.datasets.annotations.categories import category_problem, coco_categories, has_polygons, is_class_head
from mmimg2vec.datasets.annotations.coco import mend_coco

__all__ = ['category_problem', 'coco_categories', 'has_polygons', 'is_class_head', 'mend_coco']
