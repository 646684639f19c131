import pytest
import torch
from mmpretrain.models.backbones import ResNet
from tiny_models import trained_looking
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.checkpoint.fill import fill, fingerprint
from mmimg2vec.models.teachers.build import dilate_stages
from mmimg2vec.models.utils import token_diversity


class TestDiversity:
    def test_equals_the_double_loop(self):
        tokens = torch.randn(4, 9, 5, dtype=torch.float64) + 1
        unit = tokens / tokens.norm(dim=-1, keepdim=True)
        for image, value in zip(unit, token_diversity(tokens), strict=True):
            pairs = [image[i] @ image[j] for i in range(9) for j in range(9) if i != j]
            assert abs(value - (1 - sum(pairs) / len(pairs))) < 1e-12

    def test_limits_and_scale(self):
        constant = torch.randn(1, 1, 8).expand(2, 6, 8)
        torch.testing.assert_close(token_diversity(constant), torch.zeros(2), atol=1e-6, rtol=0)
        torch.testing.assert_close(token_diversity(torch.eye(6)[None]), torch.ones(1))
        tokens = torch.randn(2, 6, 8)
        scaled = tokens * torch.rand(2, 6, 1).add(0.1)
        torch.testing.assert_close(token_diversity(tokens), token_diversity(scaled))
        assert token_diversity(tokens.bfloat16()).dtype == torch.float32

    @pytest.mark.parametrize('scale', [1e-30, 1e-13, 1e25])
    def test_tiny_and_huge_tokens(self, scale):
        tokens = torch.randn(2, 6, 8)
        torch.testing.assert_close(token_diversity(tokens * scale), token_diversity(tokens))
        constant = torch.full((1, 6, 8), scale, dtype=torch.float64)
        assert token_diversity(constant).abs() < 1e-12
        assert token_diversity(torch.zeros(1, 6, 8)) == 1  # as unlike as can be: no direction at all


class TestDilation:
    @pytest.mark.parametrize('depth', [18, 50])
    @pytest.mark.parametrize('dilated', [1, 2])
    def test_shared_positions_are_unchanged(self, depth, dilated):
        torch.manual_seed(0)
        net = ResNet(depth, base_channels=8, stem_channels=8, out_indices=(3,))
        net.init_weights()
        trained_looking(net)
        images = torch.randn(1, 3, 96, 96)
        before = net(images)[-1]
        dilate_stages([getattr(net, name) for name in net.res_layers[-dilated:]])
        after = net(images)[-1]
        step = 2**dilated
        assert after.shape[-1] == before.shape[-1] * step
        error = (after[..., ::step, ::step] - before).norm() / before.norm()
        assert error < 1e-5

    def test_pooling_inside_a_stage_is_refused(self):
        block = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 4, 1))
        with pytest.raises(ValueError, match='AvgPool2d'):
            dilate_stages([nn.Sequential(block)])


class TestWeights:
    @pytest.fixture()
    def net(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

    @pytest.mark.parametrize('prefix', ['', 'module.', 'module.encoder_q.', 'backbone.'])
    def test_prefix_is_found(self, net, tmp_path, prefix):
        state = {prefix + key: value for key, value in net.state_dict().items()}
        torch.save({'state_dict': {**state, 'head.bias': torch.zeros(2)}}, tmp_path / 'net.pth')
        other = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        assert fingerprint(other) != fingerprint(net)
        fill(other, str(tmp_path / 'net.pth'))
        assert fingerprint(other) == fingerprint(net)

    def test_two_networks_in_a_file_need_a_choice(self, net, tmp_path):
        state = {p + k: v for p in ('left.', 'right.') for k, v in net.state_dict().items()}
        torch.save(state, tmp_path / 'two.pth')
        with pytest.raises(UserError, match=r"under the prefixes 'left.', 'right.'"):
            fill(net, str(tmp_path / 'two.pth'))
        fill(net, str(tmp_path / 'two.pth'), prefix='right')

    @pytest.mark.parametrize(
        'wrap',
        [
            lambda state: {'model': {'model': {'state_dict': state}}},
            lambda state: {'checkpoint': {'state_dict': state}},
            lambda state: {'nets': {'encoder': {'backbone': state}}},
        ],
    )
    def test_wrappers_are_taken_off_however_deep(self, net, tmp_path, wrap):
        torch.save(wrap(net.state_dict()), tmp_path / 'net.pth')
        other = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        fill(other, str(tmp_path / 'net.pth'))
        assert fingerprint(other) == fingerprint(net)

    def test_a_deeper_networks_file_is_refused_and_a_head_is_not(self, tmp_path):
        def network(blocks):
            return nn.ModuleDict(
                dict(
                    layers=nn.ModuleList(nn.Linear(2, 2) for _ in range(blocks)),
                    end=nn.Linear(2, 2),
                )
            )

        deep = network(3).state_dict()
        torch.save({f'net.{k}': v for k, v in deep.items()}, tmp_path / 'deep.pth')
        with pytest.raises(UserError, match=r'has more layers than ModuleDict: .*layers\.2\.weight') as e:
            fill(network(2), str(tmp_path / 'deep.pth'))
        assert '\n' not in str(e.value)
        head = {'head.layers.2.weight': torch.zeros(2, 2), 'queue.2': torch.zeros(3)}
        torch.save({**network(2).state_dict(), **head}, tmp_path / 'head.pth')
        fill(network(2), str(tmp_path / 'head.pth'))

    def test_another_networks_file_is_not_called_ambiguous(self, net, tmp_path):
        parts = {f'block{i}.0.weight': torch.zeros(4, 3, 1, 1) for i in range(9)}
        torch.save(parts, tmp_path / 'other.pth')
        with pytest.raises(UserError, match='5 of 6 tensors are missing'):
            fill(net, str(tmp_path / 'other.pth'))

    def test_unfit_files_are_named_in_one_line(self, net, tmp_path):
        (tmp_path / 'noise.pth').write_bytes(b'no checkpoint')
        torch.save({'epoch': 3}, tmp_path / 'empty.pth')
        torch.save({'0.weight': torch.zeros(4, 3, 1, 1)}, tmp_path / 'part.pth')
        wrong = {**net.state_dict(), '0.weight': torch.zeros(4, 3, 3, 3)}
        torch.save(wrong, tmp_path / 'shape.pth')
        cases = {
            'absent.pth': 'absent.pth',
            'noise.pth': 'noise.pth',
            'empty.pth': 'holds no tensors',
            'part.pth': '5 of 6 tensors are missing',
            'shape.pth': r'0.weight is \(4, 3, 3, 3\) in the file and \(4, 3, 1, 1\) in the model',
        }
        for name, message in cases.items():
            with pytest.raises(UserError, match=message) as caught:
                fill(net, str(tmp_path / name))
            assert '\n' not in str(caught.value)

    def test_what_a_conversion_complains_of_is_one_line_with_the_path(self, net, tmp_path):
        torch.save(net.state_dict(), tmp_path / 'net.pth')

        def refuse(weights):
            raise UserError('it has no visual tower; name another file')

        def stumble(weights):
            return {'0.weight': weights['absent']}

        for convert, message in ((refuse, 'it has no visual tower'), (stumble, 'KeyError')):
            with pytest.raises(UserError, match=message) as caught:
                fill(net, str(tmp_path / 'net.pth'), convert=convert)
            text = str(caught.value)
            assert 'net.pth' in text and '\n' not in text and 'UserError' not in text
