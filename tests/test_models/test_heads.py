import pytest
import torch
import torch.nn.functional as F
from contracts import HeadContract, random_token_mask

from mmimg2vec import UserError
from mmimg2vec.models import CosineFeatureLoss, FeatureHead, MSEFeatureLoss, SmoothL1FeatureLoss, TokenAlignmentHead
from mmimg2vec.models.utils import gather_tokens, token_diversity
from mmimg2vec.registry import MODELS

LOSSES = [CosineFeatureLoss(), SmoothL1FeatureLoss(), SmoothL1FeatureLoss(0.1), MSEFeatureLoss()]


class TestLosses:
    @pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: type(loss).__name__)
    def test_zero_at_the_target_and_the_gradient_leads_there(self, loss):
        target = torch.randn(4, 7, 16)
        assert loss(target, target).abs() < 1e-6
        prediction = torch.randn(4, 7, 16, requires_grad=True)
        before = loss(prediction, target)
        before.backward()
        closer = prediction.detach() - 5 * prediction.grad / prediction.grad.norm()
        assert loss(closer, target) < before
        assert (prediction.grad * (prediction.detach() - target)).sum() > 0

    def test_values(self):
        x, y = torch.randn(3, 5), torch.randn(3, 5)
        cosine = sum(1 - (a @ b) / (a.norm() * b.norm()) for a, b in zip(x, y, strict=True)) / 3
        torch.testing.assert_close(CosineFeatureLoss()(x, y), cosine)
        torch.testing.assert_close(CosineFeatureLoss()(x, 7 * y), cosine)
        torch.testing.assert_close(MSEFeatureLoss()(x, y), ((x - y) ** 2).mean())
        error = (x - y).abs()
        expected = torch.where(error < 0.5, error**2 / (2 * 0.5), error - 0.25).mean()
        torch.testing.assert_close(SmoothL1FeatureLoss(0.5)(x, y), expected)

    def test_half_precision_is_compared_in_float32(self):
        x = torch.randn(2, 8).bfloat16()
        assert all(loss(x, x + 1).dtype == torch.float32 for loss in LOSSES)


@pytest.mark.parametrize('head', [FeatureHead(8, 8), TokenAlignmentHead(8, 8, supervision='masked')])
def test_watched_quantities_are_those_of_prediction_and_target(head):
    target = dict(tokens=torch.randn(2, 16, 8), pooled=torch.randn(2, 8))
    positions = head.positions(random_token_mask(2, 16, 12))
    alike = torch.randn(2, 1, 8).expand(2, 12, 8)  # predictions without any diversity
    result = head.loss(alike, positions, torch.randn(2, 8), target)
    assert result['prediction_diversity'].abs() < 1e-6
    wanted = gather_tokens(target['tokens'], positions)
    torch.testing.assert_close(result['target_diversity'], token_diversity(wanted).mean())


class TestFeatureHead(HeadContract):
    class_channels = 4

    def build(self, **kwargs):
        return FeatureHead(self.class_channels, self.channels, **kwargs)

    def target(self):
        return dict(tokens=torch.randn(2, 16, 8), pooled=torch.randn(2, 8))

    def test_terms_and_watched_quantities(self):
        head, target = (
            FeatureHead(4, 8, loss=dict(type='mmimg2vec.MSEFeatureLoss'), global_weight=0.5),
            self.target(),
        )
        positions = head.positions(random_token_mask(2, 16, 12))
        prediction, class_token = torch.randn(2, 12, 8, requires_grad=True), torch.randn(2, 4)
        result = head.loss(prediction, positions, class_token, target)
        wanted = gather_tokens(target['tokens'], positions)
        torch.testing.assert_close(result['loss_token'], F.mse_loss(prediction, wanted))
        pooled = F.mse_loss(head.global_pred(class_token), target['pooled'])
        torch.testing.assert_close(result['loss_global'], 0.5 * pooled)
        watched = {name: value for name, value in result.items() if 'loss' not in name}
        assert set(watched) == {'target_diversity', 'prediction_diversity', 'prediction_cosine'}
        assert not any(value.requires_grad for value in watched.values())
        torch.testing.assert_close(watched['prediction_cosine'], F.cosine_similarity(prediction, wanted, dim=-1).mean())

    def test_the_global_term_has_a_loss_of_its_own(self):
        losses = dict(loss=dict(type='mmimg2vec.MSEFeatureLoss'), global_loss=dict(type='mmimg2vec.CosineFeatureLoss'))
        head, target, class_token = FeatureHead(4, 8, **losses), self.target(), torch.randn(2, 4)
        positions = head.positions(random_token_mask(2, 16, 12))
        result = head.loss(torch.randn(2, 12, 8), positions, class_token, target)
        cosine = F.cosine_similarity(head.global_pred(class_token), target['pooled'], dim=-1)
        torch.testing.assert_close(result['loss_global'], (1 - cosine).mean())

    def test_global_term_switched_off(self):
        head = FeatureHead(4, 0, global_weight=0)
        assert not list(head.parameters())
        positions = head.positions(random_token_mask(2, 16, 12))
        result = head.loss(torch.randn(2, 12, 8), positions, torch.randn(2, 4), self.target())
        assert 'loss_global' not in result

    @pytest.mark.parametrize(
        ('kwargs', 'message'),
        [
            (dict(pooled_channels=0), 'gives no feature of the whole image'),
        ],
    )
    def test_mistakes_are_named(self, kwargs, message):
        with pytest.raises(UserError, match=message):
            FeatureHead(**{'in_channels': 4, 'pooled_channels': 8, **kwargs})

    def test_beta_has_to_be_positive(self):
        with pytest.raises(UserError, match='has to be positive'):
            SmoothL1FeatureLoss(0)


class TestTokenAlignmentHead(HeadContract):
    def build(self, **kwargs):
        return TokenAlignmentHead(self.class_channels, self.channels, **kwargs)


@pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: type(loss).__name__)
def test_position_loss_is_that_of_the_mean_of_the_other_images(loss):
    kind = dict(type=f'mmimg2vec.{type(loss).__name__}')
    tokens, pooled = torch.randn(5, 4, 8) + torch.randn(4, 8), torch.randn(5, 8) + 1
    head = FeatureHead(8, 8, loss=kind, global_weight=0.5)
    aligned = TokenAlignmentHead(8, 8, loss=kind)

    def best(wanted):
        found = []
        for source in (wanted, F.normalize(wanted, dim=-1)):
            others = [torch.cat([source[:i], source[i + 1 :]]).mean(dim=0) for i in range(len(source))]
            found.append(MODELS.build(kind)(torch.stack(others), wanted))
        return min(found)

    target = dict(tokens=tokens, pooled=pooled)
    torch.testing.assert_close(head.position_loss(target), best(tokens) + 0.5 * best(pooled))
    torch.testing.assert_close(aligned.position_loss(target), best(torch.cat([pooled[:, None], tokens], 1)))
    # Targets that depend on the position alone can be predicted without looking.
    same = dict(tokens=tokens[:1].expand(5, -1, -1), pooled=pooled[:1].expand(5, -1))
    assert head.position_loss(same).abs() < 1e-6
