import pytest
import torch
from contracts import TargetGeneratorContract
from mmpretrain.models.backbones import ResNet, VisionTransformer
from tiny_models import trained_looking
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.models import BackboneTargetGenerator
from mmimg2vec.models.target_generators import normalize
from mmimg2vec.models.teachers.build import build_teacher
from mmimg2vec.models.utils import token_diversity

RESNET = dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)
VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    patch_size=8,
)


class TestResNetTeacher(TargetGeneratorContract):
    def build(self):
        return BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0)


class TestTeacherWithBatchNorm(TargetGeneratorContract):
    def build(self):
        return BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0, fold_batchnorm=False)


class TestResampledTeacher(TargetGeneratorContract):
    patch = 8

    def build(self):
        return BackboneTargetGenerator(RESNET, resample='bilinear', random_weights=0)


class TestSmoothedTeacher(TargetGeneratorContract):
    def build(self):
        return BackboneTargetGenerator(RESNET, output_stride=16, smooth=3, random_weights=0)


class TestViTTeacherAtItsOwnSize(TargetGeneratorContract):
    def build(self):
        return BackboneTargetGenerator(VIT, input_size=32, random_weights=0)


class TestNotSquare(TestResNetTeacher):
    img_size = (32, 96)


def connect(generator, img_size=64, patch=16, channels=3, mean=None, std=None):
    generator.connect((patch, patch), channels, mean, std)
    generator.describe((img_size, img_size))
    return generator


def test_features_are_the_backbones_in_its_own_normalization(tmp_path):
    torch.manual_seed(0)
    net = trained_looking(ResNet(18, base_channels=8, stem_channels=8))
    torch.save({'state_dict': {f'module.{k}': v for k, v in net.state_dict().items()}}, tmp_path / 't.pth')
    teacher = dict(RESNET, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 't.pth')))
    mean, std = torch.tensor([10.0, 20.0, 30.0]), torch.tensor([2.0, 4.0, 8.0])
    generator = BackboneTargetGenerator(
        teacher, normalization='none', mean=(100, 110, 120), std=(50, 60, 70), output_stride=16
    )
    connect(generator, mean=mean.view(1, 3, 1, 1), std=std.view(1, 3, 1, 1))
    gray = torch.rand(2, 3, 64, 64) * 255
    images = (gray - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    theirs = (gray - torch.tensor([100.0, 110, 120]).view(3, 1, 1)) / torch.tensor([50.0, 60, 70]).view(3, 1, 1)
    result = generator(images)
    expected = net(theirs)[-1]
    dense = result['tokens'].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(dense[..., ::2, ::2], expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(result['pooled'], expected.mean(dim=(2, 3)), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(result['pooled'], result['tokens'].mean(1), atol=1e-3)
    # Folding BatchNorm changes nothing but the time.
    plain = BackboneTargetGenerator(
        teacher,
        normalization='none',
        mean=(100, 110, 120),
        std=(50, 60, 70),
        output_stride=16,
        fold_batchnorm=False,
    )
    unfolded = connect(plain, mean=mean, std=std)(images)['tokens']
    assert any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in generator.modules())
    torch.testing.assert_close(result['tokens'], unfolded, rtol=1e-3, atol=1e-4)
    assert plain.fingerprint == generator.fingerprint


@pytest.mark.parametrize('side', [64, 96])
@pytest.mark.parametrize('output_stride', [4, 8, 16, 32])
def test_a_dilated_teachers_pooled_feature_is_the_undilated_ones(output_stride, side):
    dilated, plain = (build_teacher(RESNET, seed=1, output_stride=stride) for stride in (output_stride, None))
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        found, wanted = dilated(images), plain(images)
    assert found.grid == (side // output_stride,) * 2
    torch.testing.assert_close(found.pooled, wanted.pooled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    'teacher', [RESNET, dict(RESNET, depth=50), dict(type='mmimg2vec.TimmTeacher', model_name='resnet18')]
)
def test_a_random_teacher_has_all_residual_branches(teacher):
    if 'Timm' in teacher['type']:
        pytest.importorskip('timm')
    network = build_teacher(teacher, seed=0)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) > 10 and all((norm.weight == 1).all() for norm in norms)
    # What a library starts at zero and a checkpoint fills is left alone.
    zeros = [m for m in build_teacher(teacher).modules() if isinstance(m, nn.BatchNorm2d) and not m.weight.any()]
    assert len(zeros) == (0 if teacher['type'] == 'mmpretrain.ResNet' else 8)


def test_vit_teacher_gives_patches_and_class_token():
    generator = connect(BackboneTargetGenerator(VIT, random_weights=3, normalization='none', input_size=32))
    generator.load()
    net = VisionTransformer(**{k: v for k, v in VIT.items() if k != 'type'}, out_type='raw')
    net.load_state_dict(dict(generator.teacher.network.named_buffers()))
    net.eval()
    images = torch.randn(2, 3, 32, 32)
    shown = (images - torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)) / torch.tensor(
        [58.395, 57.12, 57.375]
    ).view(3, 1, 1)
    generator.patch_size = (8, 8)
    result, expected = generator(images), net(shown)[0]
    torch.testing.assert_close(result['tokens'], expected[:, 1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result['pooled'], expected[:, 0], rtol=1e-4, atol=1e-5)


def test_smoothed_tokens_are_means_of_their_neighbors():
    plain, smoothed = (
        connect(
            BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0, normalization='none', smooth=smooth)
        )
        for smooth in (1, 3)
    )
    images = torch.randn(2, 3, 64, 64)
    before, after = plain(images)['tokens'], smoothed(images)['tokens']
    grid = before.unflatten(1, (4, 4))
    for row, column in ((0, 0), (0, 2), (2, 1), (3, 3)):
        around = grid[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert torch.allclose(after[:, 4 * row + column], around.mean(dim=(1, 2)), atol=1e-5)
    assert torch.equal(plain(images)['pooled'], smoothed(images)['pooled'])
    assert (token_diversity(after) < token_diversity(before)).all()


def test_random_teacher_is_its_seed():
    first, again, other = (
        connect(BackboneTargetGenerator(RESNET, output_stride=16, random_weights=seed)) for seed in (1, 1, 2)
    )
    torch.manual_seed(5)
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_runs_in_its_own_type_under_autocast():
    generator = connect(BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0))
    half = connect(BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0, dtype='bfloat16'))
    images = torch.rand(2, 3, 64, 64) * 255
    before = generator(images)['tokens']
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(generator(images)['tokens'], before)
        coarse = half(images)['tokens']
    assert half.teacher.network.conv1.weight.dtype == torch.bfloat16 and coarse.dtype == torch.float32
    assert not torch.equal(coarse, before)
    torch.testing.assert_close(coarse, before, rtol=0.3, atol=0.3)


class TestChannels:
    def test_one_channel_is_gray(self):
        generator = connect(BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0), channels=1)
        rgb = connect(BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0))
        images = torch.rand(2, 1, 64, 64) * 255
        expected = rgb(images.expand(-1, 3, -1, -1))['tokens']
        torch.testing.assert_close(generator(images)['tokens'], expected)

    def test_more_channels_by_rule_or_by_name(self):
        images = torch.rand(2, 5, 64, 64) * 255
        rgb = connect(BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0))
        for named, index in ((None, [0, 1, 2]), ((4, 0, 2), [4, 0, 2])):
            generator = connect(
                BackboneTargetGenerator(RESNET, output_stride=16, random_weights=0, rgb_channels=named),
                channels=5,
            )
            expected = rgb(images[:, index])['tokens']
            torch.testing.assert_close(generator(images)['tokens'], expected)

    @pytest.mark.parametrize(('channels', 'named'), [(2, None), (3, (0, 1, 3)), (4, (0, 1))])
    def test_no_rule(self, channels, named):
        generator = BackboneTargetGenerator(RESNET, random_weights=0, rgb_channels=named)
        with pytest.raises(UserError, match='say which of them are red, green and blue'):
            connect(generator, channels=channels)


class TestNormalization:
    features = torch.randn(6, 50, 8) @ (torch.eye(8) + 0.4) + 3

    def test_layer(self):
        result = normalize(self.features, 'layer')
        torch.testing.assert_close(result.mean(-1), torch.zeros(6, 50), atol=1e-5, rtol=0)
        torch.testing.assert_close(result.var(-1, correction=0), torch.ones(6, 50), atol=1e-3, rtol=0)

    def test_spatial_takes_off_most_of_an_images_mean(self):
        found = normalize(self.features, 'spatial')
        for image, result in zip(self.features, found, strict=True):
            for channel in range(image.shape[1]):
                values = image[:, channel]
                want = (values - 0.7 * values.mean()) / values.std(correction=0)
                torch.testing.assert_close(result[:, channel], want, rtol=1e-3, atol=1e-3)
        # It sees each image alone, and constant channels are no division by zero.
        torch.testing.assert_close(normalize(self.features[:1], 'spatial'), found[:1])
        assert normalize(torch.ones(2, 4, 3), 'spatial').isfinite().all()

    def test_batch(self):
        rows = normalize(self.features, 'batch').flatten(0, 1)
        torch.testing.assert_close(rows.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
        torch.testing.assert_close(rows.var(0, correction=0), torch.ones(8), atol=1e-3, rtol=0)

    def test_whiten(self):
        rows = normalize(self.features, 'whiten').flatten(0, 1)
        covariance = rows.T @ rows / len(rows)
        off_diagonal = covariance - covariance.diagonal().diag()
        assert off_diagonal.abs().max() < 0.1  # shrinkage leaves a little
        before = self.features.flatten(0, 1)
        assert (torch.corrcoef(before.T) - torch.eye(8)).abs().max() > 0.3

    def test_whiten_is_the_written_out_formula(self):
        rows = self.features.flatten(0, 1).double()
        rows = rows - rows.mean(0)
        covariance = rows.T @ rows / len(rows)
        shrunk = covariance + (0.01 * covariance.diagonal().mean() + 1e-6) * torch.eye(len(covariance)).double()
        expected = torch.linalg.solve_triangular(torch.linalg.cholesky(shrunk), rows.T, upper=False).T
        found = normalize(self.features, 'whiten').flatten(0, 1)
        torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-4)

    def test_whiten_with_fewer_tokens_than_channels(self):
        assert normalize(torch.randn(2, 3, 64), 'whiten').isfinite().all()

    def test_none(self):
        assert torch.equal(normalize(self.features, 'none'), self.features)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(), 'needs either weights'),
        (dict(random_weights=0, normalization='zca'), "normalization='zca': choose one of"),
        (dict(random_weights=0, smooth=2), 'smooth=2: give an odd number'),
        (dict(random_weights=0, resample='nearest'), "resample='nearest': choose one of"),
        (
            dict(random_weights=0),
            '2 x 2 tokens .* student has 4 x 4; set target_generator.output_stride',
        ),
        (dict(random_weights=0, output_stride=12), 'output_stride=12 cannot be reached'),
    ],
)
def test_mistakes_are_named(kwargs, message):
    with pytest.raises(UserError, match=message):
        connect(BackboneTargetGenerator(RESNET, **kwargs))


def test_stem_of_another_stride_is_noticed():
    teacher = dict(type='mmpretrain.ResNet_CIFAR', depth=18)
    with pytest.raises(UserError, match='output_stride=4 cannot be reached'):
        connect(BackboneTargetGenerator(teacher, output_stride=4, random_weights=0), patch=4)


def test_pooled_output_is_named():
    teacher = dict(type='mmpretrain.ConvNeXt', arch=dict(depths=[1, 1, 1, 1], channels=[8, 8, 8, 8]))
    with pytest.raises(UserError, match=r'2-dimensional features.*gap_before_final_norm=False'):
        connect(BackboneTargetGenerator(teacher, random_weights=0))


def test_an_output_stride_that_a_resnet_left_over_is_left_out():
    """Only networks with stages can be dilated; whether the grids fit is asked all the same."""
    generator = connect(BackboneTargetGenerator(VIT, output_stride=16, random_weights=0))
    assert generator.output_stride is None
    with pytest.raises(UserError, match='only ResNet-like teachers can be dilated'):
        build_teacher(VIT, seed=0, output_stride=16)


def test_unknown_teacher_is_named():
    with pytest.raises(UserError, match=r"teacher 'mmpretrain.ResNett' cannot be built"):
        connect(BackboneTargetGenerator(dict(type='mmpretrain.ResNett'), random_weights=0))


def test_features_that_overflow_in_half_precision(tmp_path):
    if torch.__version__ < '2.2':
        pytest.skip('this torch has no convolution in half precision on the CPU')
    net = VisionTransformer(**{key: value for key, value in VIT.items() if key != 'type'})
    torch.nn.init.constant_(net.ln1.weight, 1e6)
    torch.save(net.state_dict(), tmp_path / 'large.pth')
    teacher = dict(VIT, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'large.pth')))
    connect(BackboneTargetGenerator(teacher)).load()
    half = connect(BackboneTargetGenerator(teacher, dtype='float16'))
    with pytest.raises(UserError, match=r"not finite in torch\.float16; check its weights, or .*dtype='float32'"):
        half.load()


def test_weights_that_are_not_finite(tmp_path):
    net = ResNet(18, base_channels=8, stem_channels=8)
    state = net.state_dict()
    state['layer4.1.bn2.running_mean'][0] = float('nan')
    torch.save(state, tmp_path / 'nan.pth')
    teacher = dict(RESNET, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'nan.pth')))
    generator = connect(BackboneTargetGenerator(teacher, output_stride=16))
    with pytest.raises(UserError, match='not finite'):
        generator.load()
