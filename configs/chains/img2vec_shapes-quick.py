"""The chain of img2vec_shapes.py on a sixth of the images: it shows that all of it runs, not what it is worth.

``make demo-quick`` runs it: python tools/chain.py configs/chains/img2vec_shapes-quick.py
"""

_base_ = ['img2vec_shapes.py']

title = 'The quick look: a sixth of the images, too few to learn much'
work_dir = 'work_dirs/demo-quick'
introduction = _base_.introduction.replace('1200', '200').replace('300', '50')
shapes = 'data/shapes-quick'
env = dict(IMG2VEC_SHAPES=shapes)
stages = [
    dict(
        _base_.images,
        command=f'tools/dataset_converters/shapes.py --out {shapes} --scenes 200 --val-scenes 50',
        makes=[shapes],
    ),
    *_base_.stages[1:],
]
