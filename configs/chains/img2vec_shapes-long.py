"""The chain of img2vec_shapes.py, four times its pre-training and twice its downstream training: hours on two cores.

``make experiment ARGS="configs/chains/img2vec_shapes-long.py"`` runs it over several seeds. Not measured yet.
"""

_base_ = ['img2vec_shapes.py']

title = 'From unlabeled images to classifier, detector and segmenter: the longer experiment'
work_dir = 'work_dirs/demo-long'

_epochs = dict(teacher=32, pretrain=32, detect=8, segment=12, finetune=10)


def _longer(stage):
    epochs = _epochs.get(stage['name'].removesuffix('-scratch'))
    if epochs is None:
        return stage
    schedule = {'train_cfg.max_epochs': epochs, 'param_scheduler.1.end': epochs}
    return dict(stage, options={**stage.get('options', {}), **schedule})


stages = [_longer(stage) for stage in _base_.stages]
