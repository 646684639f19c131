import pytest
import torch
from contracts import random_mask, random_token_mask

from mmimg2vec import UserError
from mmimg2vec.models.utils import TokenMask, gather_tokens


def test_indices_are_the_mask_in_raster_order():
    mask = TokenMask.checked(torch.tensor([[True, False, True, False], [False, False, True, True]]))
    assert (len(mask), mask.num_tokens, mask.num_masked, mask.num_visible) == (2, 4, 2, 2)
    assert isinstance(mask.num_masked, int)
    assert mask.visible.tolist() == [[1, 3], [0, 1]]
    assert mask.masked_index.tolist() == [[0, 2], [2, 3]]


def test_the_way_back():
    mask, tokens = random_token_mask(3, 16, 12), torch.randn(3, 16, 5)
    parted = torch.cat((mask.gather_visible(tokens), gather_tokens(tokens, mask.masked_index)), dim=1)
    assert torch.equal(gather_tokens(parted, mask.restore), tokens)
    table = torch.randn(1, 16, 5)  # one for all images
    assert torch.equal(mask.gather_visible(table), gather_tokens(table, mask.visible))


def test_indices_are_computed_once_and_nothing_can_be_set():
    mask = random_token_mask(3, 16, 12)
    assert mask.order is mask.order and mask.restore is mask.restore
    with pytest.raises(AttributeError):
        mask.num_masked = 3


@pytest.mark.parametrize('supervision', ['masked', 'visible', 'all'])
def test_candidates(supervision):
    mask = random_token_mask(3, 16, 12)
    positions = mask.compared(supervision)
    expected = {
        'masked': mask.masked,
        'visible': ~mask.masked,
        'all': torch.ones_like(mask.masked),
    }[supervision]
    assert positions.shape == (3, expected[0].sum())
    assert torch.equal(torch.zeros_like(mask.masked).scatter(1, positions, True), expected)


def test_share_takes_the_lowest_ranks():
    mask = random_token_mask(3, 16, 12)
    positions = mask.compared('masked', 0.4)
    assert positions.shape == (3, 5)  # ceil(0.4 * 12)
    assert mask.masked.gather(1, positions).all()
    taken = mask.rank.gather(1, positions).max(dim=1).values
    left_out = mask.rank.masked_fill(~mask.masked, 99).scatter(1, positions, 99).min(dim=1).values
    assert (taken < left_out).all()
    assert torch.equal(positions, positions.sort(dim=1).values)
    with pytest.raises(UserError, match=r'head.share=0.4 needs token_rank'):
        TokenMask.checked(mask.masked).compared('masked', 0.4)


def test_another_device_needs_no_look_at_the_values():
    mask = random_token_mask(3, 16, 12).to('meta')  # where no value can be read
    assert mask.visible.shape == (3, 4) and mask.restore.device.type == 'meta'
    assert mask.compared('masked', 0.5).shape == (3, 6)
    assert mask.rank.device.type == 'meta'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda mask: mask[0], r'torch.bool \(16,\); it has to be a bool tensor'),
        (lambda mask: mask.float(), 'torch.float32'),
        (lambda mask: mask.numpy(), 'is ndarray; it has to be'),
        (lambda mask: mask & False, 'leave no patch masked: raise the mask_ratio'),
        (lambda mask: mask | True, 'leave no patch visible: lower the mask_ratio'),
        (lambda mask: torch.stack((mask[0], ~mask[1])), 'mask between 4 and 12 patches'),
        (lambda mask: mask[:, :9] & False | True, 'leave no patch visible'),
    ],
)
def test_masks_of_another_form(change, message):
    with pytest.raises(UserError, match=message):
        TokenMask.checked(change(random_mask(2, 16, 12)[0]))


def test_ranks_of_another_size():
    masked, rank = random_mask(2, 16, 12)
    with pytest.raises(UserError, match=r'token_rank is \(2, 15\) and the mask \(2, 16\)'):
        TokenMask.checked(masked, rank[:, 1:])
