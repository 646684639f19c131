from mmimg2vec.datasets.shards.dataset import ShardedImages
from mmimg2vec.datasets.shards.index import ShardIndex, open_index, write_index
from mmimg2vec.datasets.shards.writing import make_shards

__all__ = ['ShardIndex', 'ShardedImages', 'make_shards', 'open_index', 'write_index']
