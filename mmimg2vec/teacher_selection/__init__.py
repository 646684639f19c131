from mmimg2vec.teacher_selection.compare import compare
from mmimg2vec.teacher_selection.statistics import RunningMean, effective_rank
from mmimg2vec.teacher_selection.table import Row
from mmimg2vec.teacher_selection.teachers import find_teacher

__all__ = ['Row', 'RunningMean', 'compare', 'effective_rank', 'find_teacher']
