"""A resumed run has the network, data, batch and schedule that its checkpoint was written with."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmimg2vec.engine.hooks import ResumeGuardHook
from mmimg2vec.errors import UserError


class Images(list):
    masks_per_image = 1


def run(images=100, batch=8, masks=1, counts=2, steps=50, resume=True, model=None, **optimizer):
    dataset = Images(range(images))
    dataset.masks_per_image = masks
    defaults = dict(lr=0.5, weight_decay=0.1) | optimizer
    return SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset, batch_sampler=SimpleNamespace(batch_size=batch)),
        optim_wrapper=SimpleNamespace(_accumulative_counts=counts, optimizer=SimpleNamespace(defaults=defaults)),
        max_iters=steps,
        model=model or nn.Linear(2, 2),
        _resume=resume,
        _load_from='run/iter_8.pth',
    )


def written(by=None):
    by = by or run()
    content = dict(meta={}, message_hub={}, optimizer={}, state_dict=by.model.state_dict())
    ResumeGuardHook().before_save_checkpoint(by, content)
    return content


def go_on(now, content):
    ResumeGuardHook().after_load_checkpoint(now, content)


def test_the_same_goes_on():
    expected = dict(images=100, batch=8, masks=1, accumulation=2, max_iters=50, lr=0.5, weight_decay=0.1)
    assert written()['meta'] == {'arithmetic': expected}
    go_on(run(), written())
    single = written()
    del single['meta']['arithmetic']['masks']  # of a run before there were several
    go_on(run(), single)
    with pytest.raises(UserError, match='1 masks per image then, 4 now'):
        go_on(run(masks=4), single)
    older = written()
    del older['meta']['arithmetic']['lr']  # of a run before it was noted
    go_on(run(lr=0.7), older)
    del older['meta']['arithmetic']  # of a run without the hook
    go_on(run(images=7), older)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(images=101), '100 images in the training set then, 101 now. Resume'),
        (dict(batch=4), '8 images per step, all processes together then, 4 now. Resume'),
        (dict(masks=4), '1 masks per image then, 4 now. Resume'),
        (dict(counts=1), '2 steps per update then, 1 now. Resume'),
        (dict(lr=0.25), r'0\.5 learning rate then, 0\.25 now. Resume'),  # mmengine takes that of the checkpoint
        (dict(weight_decay=0), r'0\.1 weight decay then, 0\.0 now. Resume'),
        (
            dict(counts=1, steps=60),
            '2 steps per update then, 1 now; 50 steps of the whole schedule then, 60 now. Resume',
        ),
    ],
)
def test_other_settings(change, message):
    with pytest.raises(UserError, match=f'cannot be resumed with other settings: {message}'):
        go_on(run(**change), written())
    go_on(run(**change, resume=False), written())  # a new run from its weights


@pytest.mark.parametrize('part', ['meta', 'message_hub', 'optimizer'])
def test_weights_alone(part):
    content = written()
    del content[part]
    with pytest.raises(UserError, match=rf'run/iter_8\.pth is no checkpoint of a run \(no {part}\)'):
        go_on(run(), content)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (nn.Linear(2, 3), r'size mismatch for weight: copying a param with shape torch\.Size\(\[2, 2\]\)'),
        (nn.ModuleDict(dict(head=nn.Linear(2, 2))), r'no head\.bias'),
    ],
)
def test_another_network(model, message):
    with pytest.raises(
        UserError, match=rf'run/iter_8\.pth is of another network \({message}.*: resume with the config'
    ):
        go_on(run(model=model), written())


def test_one_tensor_of_many_is_named():
    with pytest.raises(UserError) as error:
        go_on(run(model=nn.Linear(3, 3)), written())
    assert str(error.value).count('size mismatch for') == 1


def test_tensors_that_are_in_no_checkpoint_may_lack():
    """A frozen teacher is left out by the model itself."""

    class WithTeacher(nn.Linear):
        def state_dict(self, *args, **kwargs):
            state = super().state_dict(*args, **kwargs)
            del state['bias']
            return state

    content = written()
    del content['state_dict']['bias']
    model = WithTeacher(2, 2)
    go_on(run(model=model), content)
    assert torch.equal(model.weight, content['state_dict']['weight'])
