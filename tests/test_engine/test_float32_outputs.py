"""What the parts of a detector that need float32 get under autocast."""

import pytest
import torch
from torch import nn

from mmimg2vec.engine.optim_wrappers import AutocastOptimWrapper
from mmimg2vec.errors import UserError


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.neck, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        self.seen = {}

    def forward(self, x):
        x = self.neck(x)
        self.seen['neck'] = x.dtype
        x = self.head(x)
        self.seen['head'] = x.dtype
        return x


def step(model, **kwargs):
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), **kwargs)
    for _ in range(2):
        with wrapper.optim_context(model):
            loss = model(torch.ones(2, 4)).float().sum()
        wrapper.update_params(loss)


def test_named_modules_alone_leave_bfloat16():
    model = Model()
    step(model)
    assert model.seen == dict(neck=torch.bfloat16, head=torch.bfloat16)
    model = Model()
    step(model, float32_outputs=('neck',))
    assert model.seen == dict(neck=torch.float32, head=torch.bfloat16)
    assert len(model.neck._forward_hooks) == 1


def test_nested_outputs():
    model = Model()
    model.neck = nn.Identity()
    model.forward = lambda x: model.neck(([x.bfloat16()], torch.ones(2, dtype=torch.long)))
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), float32_outputs=('neck',))
    with wrapper.optim_context(model):
        (first,), index = model(torch.ones(2, 4))
    assert (first.dtype, index.dtype) == (torch.float32, torch.long)


def test_a_name_that_is_not_there():
    with pytest.raises(UserError, match='names rpn_head, which Model does not have; it has neck'):
        step(Model(), float32_outputs=('rpn_head',))
