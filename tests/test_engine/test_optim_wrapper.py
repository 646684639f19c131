import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmimg2vec.engine.optim_wrappers import AutocastOptimWrapper
from mmimg2vec.engine.optim_wrappers.fused import has_fused
from mmimg2vec.errors import UserError


class Probe(nn.Module):
    """Remembers the dtype that its linear layer computes in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        y = self.layer(x)
        self.dtype = y.dtype
        return y.float().square().mean()


def steps(wrapper_class, count=6, **kwargs):
    model = Probe()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    wrapper = wrapper_class(optimizer=optimizer, **kwargs)
    wrapper.initialize_count_status(model, 0, count)
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        with wrapper.optim_context(model):
            loss = model(torch.randn(8, 4, generator=generator))
        wrapper.update_params(loss)
    return model, wrapper


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_dtype_of_the_forward_pass(dtype):
    model, wrapper = steps(AutocastOptimWrapper, dtype=dtype)
    assert model.dtype == getattr(torch, dtype)
    assert model.layer.weight.dtype == torch.float32
    assert wrapper.loss_scaler is None
    assert 'loss_scaler' not in wrapper.state_dict()


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'accumulative_counts': 2},
        {'accumulative_counts': 4, 'clip_grad': {'max_norm': 0.01}},
        {'clip_grad': {'clip_value': 0.01, 'type': 'value'}},
    ],
)
def test_float32_equals_the_plain_wrapper(options):
    copies = [{k: dict(v) if isinstance(v, dict) else v for k, v in options.items()} for _ in '12']
    ours, _ = steps(AutocastOptimWrapper, dtype='float32', **copies[0])
    plain, _ = steps(OptimWrapper, **copies[1])
    assert torch.equal(ours.layer.weight, plain.layer.weight)


def test_bfloat16_stays_near_float32():
    ours, _ = steps(AutocastOptimWrapper, accumulative_counts=2, clip_grad={'max_norm': 1.0})
    plain, _ = steps(OptimWrapper, accumulative_counts=2, clip_grad={'max_norm': 1.0})
    assert not torch.equal(ours.layer.weight, plain.layer.weight)
    assert torch.allclose(ours.layer.weight, plain.layer.weight, atol=1e-2)


@pytest.mark.parametrize('clip', [None, {'max_norm': 1e-3}])
def test_grad_norm_is_measured_before_clipping_on_request(clip):
    model = Probe()
    wrapper = AutocastOptimWrapper(
        dtype='float32',
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        clip_grad=clip,
        skip_nonfinite=False,
    )
    loss = model(torch.ones(2, 4))
    wrapper.update_params(loss)
    assert (wrapper.grad_norm is None) is (clip is None)  # clipping computes it anyway
    wrapper.measure_grad_norm = True
    loss = model(torch.ones(2, 4))
    grads = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    wrapper.update_params(loss)
    expected = torch.cat([grad.flatten() for grad in grads]).norm()
    assert torch.allclose(wrapper.grad_norm, expected)


def test_state_goes_on():
    """Three steps, their state in a new wrapper, three more: the weights of six, with the state that a scaler left."""
    momentum = dict(lr=0.5, momentum=0.9)
    batches = torch.randn(6, 8, 4, generator=torch.Generator().manual_seed(1))

    def train(model, wrapper, part):
        for batch in part:
            with wrapper.optim_context(model):
                loss = model(batch)
            wrapper.update_params(loss)

    def new(weights=None):
        model = Probe()
        model.load_state_dict(weights or model.state_dict())
        optimizer = torch.optim.SGD(model.parameters(), **momentum)
        return model, AutocastOptimWrapper(dtype='float32', optimizer=optimizer)

    whole = new()
    train(*whole, batches)
    model, wrapper = new()
    train(model, wrapper, batches[:3])
    state = {**wrapper.state_dict(), 'loss_scaler': {'scale': 2.0}}
    goes_on, forgets = new(model.state_dict()), new(model.state_dict())
    goes_on[1].load_state_dict(state)
    for part in (goes_on, forgets):
        train(*part, batches[3:])
    assert torch.equal(goes_on[0].layer.weight, whole[0].layer.weight)
    assert not torch.equal(forgets[0].layer.weight, whole[0].layer.weight)


def test_mistakes_are_named():
    optimizer = torch.optim.SGD(Probe().parameters(), lr=0.1)
    with pytest.raises(UserError, match="dtype='half' is unknown"):
        AutocastOptimWrapper(dtype='half', optimizer=optimizer)
    with pytest.raises(UserError, match='float16 only'):
        AutocastOptimWrapper(loss_scale={'init_scale': 1.0}, optimizer=optimizer)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match='needs a GPU'):
            AutocastOptimWrapper(dtype='float16', optimizer=optimizer)


def adam_steps(count=3, state=None, model=None, optimizer=torch.optim.AdamW, **options):
    torch.manual_seed(0)
    model = model or nn.Linear(4, 4)
    wrapper = AutocastOptimWrapper(dtype='float32', optimizer=optimizer(model.parameters(), lr=0.1, **options))
    if state is not None:
        wrapper.load_state_dict(state)
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        wrapper.update_params(model(torch.randn(8, 4, generator=generator)).square().mean())
    return model, wrapper


needs_fused = pytest.mark.skipif(not has_fused(torch.device('cpu')), reason='this torch fuses on CUDA only')


@needs_fused
@pytest.mark.parametrize('optimizer', [torch.optim.Adam, torch.optim.AdamW])
def test_adam_is_fused_where_nothing_else_is_named(optimizer):
    ours, wrapper = adam_steps(optimizer=optimizer)
    plain, other = adam_steps(optimizer=optimizer, fused=False)
    assert wrapper.optimizer.param_groups[0]['fused'] is True and wrapper.optimizer.defaults['fused'] is True
    assert other.optimizer.param_groups[0]['fused'] is False
    torch.testing.assert_close(ours.weight, plain.weight, rtol=1e-6, atol=1e-7)
    chosen = adam_steps(optimizer=optimizer, foreach=True)[1].optimizer
    assert chosen.param_groups[0]['foreach'] is True and chosen.param_groups[0]['fused'] is None


def test_without_the_kernel_torchs_default_runs(monkeypatch):
    monkeypatch.setattr('mmimg2vec.engine.optim_wrappers.fused.has_fused', lambda device: False)
    model, wrapper = adam_steps()
    assert wrapper.optimizer.param_groups[0]['fused'] is None and not wrapper.optimizer.defaults['fused']
    assert torch.equal(model.weight, adam_steps(fused=False)[0].weight)
    assert steps(AutocastOptimWrapper, dtype='float32')[1].optimizer.defaults.get('fused') is None  # SGD


@needs_fused
@pytest.mark.parametrize(('before', 'after'), [(False, None), (None, False), (None, None)])
def test_a_state_goes_on_fused_or_not(before, after):
    whole, _ = adam_steps(count=3, fused=after)
    model, first = adam_steps(count=3, fused=before)
    torch.testing.assert_close(model.weight, whole.weight, rtol=1e-6, atol=1e-7)
    state = copy.deepcopy(first.state_dict())
    wanted, _ = adam_steps(count=3, state=copy.deepcopy(state), model=copy.deepcopy(model), fused=before)
    found, wrapper = adam_steps(count=3, state=state, model=copy.deepcopy(model), fused=after)
    torch.testing.assert_close(found.weight, wanted.weight, rtol=1e-6, atol=1e-7)
    assert wrapper.optimizer.param_groups[0]['fused'] is (after is None)
    assert all(s['step'].item() == 6 and s['step'].dtype == torch.float32 for s in wrapper.optimizer.state.values())
