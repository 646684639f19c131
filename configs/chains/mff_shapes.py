"""The whole way on embedded images by MFF: the chain of img2vec_shapes.py without a teacher, from MFF's backbone.

Run: python tools/chain.py configs/chains/mff_shapes.py
"""

_base_ = ['img2vec_shapes.py']

title = 'From unlabeled images to classifier, detector and segmenter, by MFF'
introduction = """
A small vision transformer (ViT) is **pre-trained without labels** by MFF: most of an image is masked, and it
predicts the pixels of the masked parts from several of its blocks, fused. Then the same ViT is trained **with labels**
for three tasks, once starting from the pre-trained weights and once from scratch, for the same number of steps on the
same images. What pre-training is worth is the difference.

The images are *Shapes*, drawn by this project: scenes of ten kinds of objects, in 1200 training and 300 validation
pictures. Everything here was trained on this machine, nothing was downloaded.
"""
work_dir = 'work_dirs/demo-mff'

_pretrain = dict(
    name='pretrain',
    title='Pre-training: MFF, without labels',
    config='configs/demo/mff_vit-tiny-p8_1xb128-coslr-8e_shapes.py',
    needs=['images'],
)
stages = [_pretrain if stage['name'] == 'pretrain' else stage for stage in _base_.stages if stage['name'] != 'teacher']
