"""What the main process does for all: its result and its mistakes reach everybody."""

import pytest
from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmimg2vec.errors import UserError
from mmimg2vec.utils import distributed


def test_result_and_mistake():
    def fails(kind):
        raise kind('no such folder')

    assert distributed.on_main_process(lambda: {'found': 3}) == {'found': 3}
    with pytest.raises(UserError, match=r'^no such folder$'):
        distributed.on_main_process(lambda: fails(UserError))
    with pytest.raises(KeyError):  # a fault of the program stays one
        distributed.on_main_process(lambda: fails(KeyError))


@pytest.mark.parametrize('sent', [[None, 7], ['no such folder', None]])
def test_another_process_gets_what_the_main_one_sent(monkeypatch, sent):
    monkeypatch.setattr(distributed, 'is_main_process', lambda: False)
    monkeypatch.setattr(distributed, 'broadcast_object_list', lambda shared: shared.__setitem__(slice(None), sent))
    if sent[0] is None:
        assert distributed.on_main_process(lambda: pytest.fail('it is not to be run here')) == 7
    else:
        with pytest.raises(UserError, match=sent[0]):
            distributed.on_main_process(lambda: pytest.fail('it is not to be run here'))


def test_the_model_inside_of_its_wrapper():
    model = nn.Linear(1, 1)
    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    assert distributed.unwrapped(wrapper) is model and distributed.unwrapped(model) is model
