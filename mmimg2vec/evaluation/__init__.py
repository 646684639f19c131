from mmimg2vec.evaluation.features import extract_features, pool_tokens
from mmimg2vec.evaluation.knn import knn_accuracy
from mmimg2vec.evaluation.labeled import build_labeled_loaders, knn_accuracies
from mmimg2vec.evaluation.linear import fit_linear, linear_accuracy

__all__ = [
    'build_labeled_loaders',
    'extract_features',
    'fit_linear',
    'knn_accuracies',
    'knn_accuracy',
    'linear_accuracy',
    'pool_tokens',
]
