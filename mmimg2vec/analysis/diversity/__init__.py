from mmimg2vec.analysis.diversity.compare import compare
from mmimg2vec.analysis.diversity.measures import RunningMean, effective_rank
from mmimg2vec.analysis.diversity.table import Row
from mmimg2vec.analysis.diversity.teachers import find_teacher

__all__ = ['Row', 'RunningMean', 'compare', 'effective_rank', 'find_teacher']
