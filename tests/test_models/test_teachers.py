"""Released layouts, and networks of other libraries as teachers; random weights, nothing is downloaded."""

import hashlib
import json

import pytest
import torch
import torchvision
from contracts import TargetGeneratorContract
from mmengine.registry import MODELS
from teacher_contract import TeacherContract
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.checkpoint.fill import fill
from mmimg2vec.checkpoint.layouts.clip import to_openai
from mmimg2vec.checkpoint.weights import choose_prefix
from mmimg2vec.models import BackboneTargetGenerator, MaskedVisionTransformer
from mmimg2vec.models.teachers.base import Teacher, from_map, from_tokens
from mmimg2vec.models.teachers.build import build_teacher

RESNET50 = dict(type='mmpretrain.ResNet', depth=50)
TIMM_VIT = dict(type='mmimg2vec.TimmTeacher', model_name='vit_tiny_patch16_224',
                img_size=48, patch_size=8, embed_dim=32, depth=2, num_heads=2)  # fmt: skip
CLIP = dict(model_type='clip_vision_model', image_size=64, patch_size=16,
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)  # fmt: skip


class Untouched(dict):
    """Identity normalization, so that the teacher sees the images themselves."""

    def __init__(self, **kwargs):
        super().__init__(normalization='none', mean=(0, 0, 0), std=(1, 1, 1), **kwargs)


def connect(generator, img_size=64, patch=16):
    generator.connect((patch, patch), 3, None, None)
    layout = generator.describe((img_size, img_size))
    generator.load()
    return generator, layout


def weights_from(path, **kwargs):
    return dict(type='Pretrained', checkpoint=str(path), **kwargs)


def reset(net):
    """As a trained network: statistics and scales that are not those of the start."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.1, 0.3)
            module.bias.data.normal_(0, 0.1)
    return net.eval()


@pytest.fixture(scope='module')
def resnet50():
    torch.manual_seed(0)
    return reset(torchvision.models.resnet50())


def layouts(net):
    """What the files of the releases hold, beside networks that are not meant."""
    state = {k: v for k, v in net.state_dict().items() if not k.startswith('fc.')}
    other = {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}

    def under(prefix, weights):
        return {prefix + k: v for k, v in weights.items()}

    head = {'projection_head.0.weight': torch.zeros(2), 'prototypes.weight': torch.zeros(2)}
    return {
        'dino': state,
        'dino-full': {
            'student': under('module.backbone.', other),
            'teacher': under('backbone.', state) | {'head.mlp.0.weight': torch.zeros(2)},
            'optimizer': {'state': {0: torch.zeros(1)}},
            'epoch': 3,
        },
        'mocov3': {
            'state_dict': under('module.base_encoder.', state)
            | under('module.momentum_encoder.', other)
            | {'module.base_encoder.fc.0.weight': torch.zeros(2), 'module.predictor.0.bias': torch.zeros(2)},
            'arch': 'resnet50',
        },
        'mocov2': {'state_dict': under('module.encoder_q.', state) | under('module.encoder_k.', other)},
        'swav': under('module.', state | head),
        'barlow-twins': {'model': under('module.backbone.', state)},
        'byol': {'state_dict': under('backbone.', state) | under('target_net.module.0.', other)},
        'clip-like': under('visual.', state) | {'logit_scale': torch.ones([])},
        'supervised': dict(net.state_dict()),
    }


@pytest.mark.parametrize('name', list(layouts(nn.BatchNorm2d(1))))
def test_a_resnet50_in_each_layout_is_torchvisions(resnet50, tmp_path, name):
    path = tmp_path / f'{name}.pth'
    torch.save(layouts(resnet50)[name], path)
    teacher = dict(RESNET50, init_cfg=weights_from(path))
    generator, layout = connect(BackboneTargetGenerator(teacher, **Untouched()), patch=32)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = nn.Sequential(*list(resnet50.children())[:-2])(images)
    assert layout.grid == (2, 2) and expected.std() > 0.01
    tokens = generator(images)['tokens']
    scale = expected.abs().max()
    assert scale < 100
    assert (tokens - expected.flatten(2).mT).abs().max() < 1e-5 * max(scale, 1)


def test_a_resnet50_as_safetensors(resnet50, tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    state = {f'module.{k}': v for k, v in resnet50.state_dict().items()}
    safetensors.save_file(state, tmp_path / 'net.safetensors')
    other = torchvision.models.resnet50()
    assert fill(other, str(tmp_path / 'net.safetensors')).prefix == 'module.'
    assert torch.equal(other.layer4[2].conv3.weight, resnet50.layer4[2].conv3.weight)


def test_the_other_copy_can_be_named(tmp_path):
    net, path = nn.Linear(2, 2), tmp_path / 'both.pth'
    copies = {name: nn.Linear(2, 2).state_dict() for name in ('teacher', 'student')}
    torch.save(copies, path)
    for prefix, name in ((None, 'teacher'), ('student', 'student'), ('student.', 'student')):
        fill(net, str(path), prefix=prefix)
        assert torch.equal(net.weight, copies[name]['weight'])
    torch.save({'state_dict': {f'module.base_encoder.{k}': v for k, v in copies['student'].items()}}, path)
    assert fill(net, str(path), prefix='base_encoder').prefix == 'module.base_encoder.'


def test_a_prefix_is_that_of_most_names():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    weights = dict(net.state_dict()) | {'head.0.weight': torch.zeros(1)}
    assert choose_prefix(net.state_dict(), weights, 'file') == ''


def test_sha256_is_verified(tmp_path):
    path = tmp_path / 'net.pth'
    torch.save(nn.Linear(2, 2).state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for sha256 in (digest, digest.upper(), digest[:8]):
        fill(nn.Linear(2, 2), str(path), sha256=sha256)
    with pytest.raises(UserError, match=f'has the SHA-256 {digest}, the config says {"0" * 64}'):
        fill(nn.Linear(2, 2), str(path), sha256='0' * 64)
    with pytest.raises(UserError, match='8 to 64 hexadecimal digits'):
        fill(nn.Linear(2, 2), str(path), sha256='abc')
    with pytest.raises(UserError, match=r'no checkpoint .*gone'):
        fill(nn.Linear(2, 2), str(tmp_path / 'gone.pth'), sha256=digest)
    teacher = dict(RESNET50, init_cfg=weights_from(path, sha256='0' * 8))
    with pytest.raises(UserError, match='the config says 00000000'):
        connect(BackboneTargetGenerator(teacher), patch=32)


def test_unfit_files_are_named_in_one_line(resnet50, tmp_path):
    path = tmp_path / 'r50.pth'
    torch.save(resnet50.state_dict(), path)
    short = {k: v for k, v in resnet50.state_dict().items() if not k.startswith('layer4.2')}
    torch.save(short, tmp_path / 'short.pth')
    cases = [
        (dict(type='mmpretrain.ResNet', depth=101), path, r'255 of .* tensors are missing'),
        (dict(type='mmpretrain.ResNet', depth=34), path, 'tensors are missing'),
        (RESNET50, tmp_path / 'short.pth', r'15 of 265 tensors are missing \(layer4.2'),
        (dict(type='mmpretrain.VisionTransformer'), path, 'tensors are missing'),
    ]
    for teacher, file, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            connect(BackboneTargetGenerator(dict(teacher, init_cfg=weights_from(file)), resample='bilinear'))
        assert '\n' not in str(caught.value)


class TestResNet(TeacherContract):
    def config(self):
        return dict(RESNET50, depth=18, base_channels=8, stem_channels=8)


class TestVisionTransformer(TeacherContract):
    def config(self):
        arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
        return dict(type='mmpretrain.VisionTransformer', arch=arch, img_size=64, patch_size=16)


class TestCLIPTower(TeacherContract):
    def config(self):
        arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=128)
        return dict(type='mmimg2vec.CLIPVisionTower', arch=arch, img_size=64, patch_size=16, out_channels=24)

    def released(self, teacher):
        return to_openai(teacher.network.state_dict())


@MODELS.register_module(force=True)
class PatchTeacher(Teacher):
    """Of no library: what it does not say has defaults."""

    def __init__(self):
        super().__init__()
        self.network, self.name = nn.Conv2d(3, 8, 16, 16), 'patches'

    def forward(self, images):
        return from_map(self.network(images))


class TestTeacherOfOnesOwn(TeacherContract):
    def config(self):
        return dict(type='PatchTeacher')

    def test_it_gives_targets(self):
        generator, layout = connect(BackboneTargetGenerator(self.config(), random_weights=0))
        assert layout.grid == (4, 4) and generator.spec.known_from.startswith('ImageNet')
        assert generator(torch.randn(2, 3, 64, 64))['tokens'].shape == (2, 16, 8)
        with pytest.raises(UserError, match='only ResNet-like teachers can be dilated, not patches'):
            build_teacher(self.config(), output_stride=8)


class TestTimm(TeacherContract):
    size = (48, 48)

    def config(self):
        pytest.importorskip('timm')
        return TIMM_VIT


class TestTimmPyramid(TeacherContract):
    def config(self):
        pytest.importorskip('timm')
        return dict(type='mmimg2vec.TimmTeacher', model_name='resnet10t')


class TestTransformers(TeacherContract):
    def config(self):
        pytest.importorskip('transformers')
        return dict(type='mmimg2vec.TransformersTeacher', config=CLIP)


class TestTimmTeacher(TargetGeneratorContract):
    def build(self):
        pytest.importorskip('timm')
        return BackboneTargetGenerator(TIMM_VIT, random_weights=0)


class TestTransformersTeacher(TargetGeneratorContract):
    def build(self):
        pytest.importorskip('transformers')
        teacher = dict(type='mmimg2vec.TransformersTeacher', config=CLIP)
        return BackboneTargetGenerator(teacher, random_weights=0)


def timm_model(**kwargs):
    timm = pytest.importorskip('timm')
    torch.manual_seed(1)
    settings = {k: v for k, v in TIMM_VIT.items() if k not in ('type', 'model_name')}
    return timm.create_model('vit_tiny_patch16_224', num_classes=0, **(settings | kwargs)).eval()


@pytest.mark.parametrize('extra', [dict(), dict(reg_tokens=3), dict(class_token=False, global_pool='avg')])
def test_a_timm_vit_is_timms(tmp_path, extra):
    net = timm_model(**extra)
    torch.save({'model': {f'module.{k}': v for k, v in net.state_dict().items()}}, tmp_path / 'vit.pth')
    teacher = dict(TIMM_VIT, **extra, init_cfg=weights_from(tmp_path / 'vit.pth'))
    generator, layout = connect(BackboneTargetGenerator(teacher, **Untouched()), 48, 8)
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected = net.forward_features(images)
    result, first = generator(images), net.num_prefix_tokens
    assert layout.grid == (6, 6) and first == {0: 1, 1: 4, 2: 0}[len(extra)]
    torch.testing.assert_close(result['tokens'], expected[:, first:], rtol=1e-4, atol=1e-5)
    pooled = expected[:, 0] if first else expected.mean(1)
    torch.testing.assert_close(result['pooled'], pooled, rtol=1e-4, atol=1e-5)


def test_a_timm_pyramid_and_a_map_are_timms():
    timm = pytest.importorskip('timm')
    for name, kwargs in (
        ('resnet10t', {}),
        ('swin_tiny_patch4_window7_224', dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))),
    ):
        teacher = dict(type='mmimg2vec.TimmTeacher', model_name=name, **kwargs)
        generator, layout = connect(BackboneTargetGenerator(teacher, random_weights=0, **Untouched()), 224, 32)
        net = timm.create_model(name, num_classes=0, **kwargs).eval()
        other = BackboneTargetGenerator(teacher, random_weights=0, fold_batchnorm=False, **Untouched())
        other, _ = connect(other, 224, 32)
        prefix = 'network.'
        buffers = {k[len(prefix) :]: v for k, v in other.teacher.named_buffers()}
        net.load_state_dict({k: buffers[k] for k in net.state_dict()})
        images = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            expected = net.forward_features(images)
        expected = expected.flatten(2).mT if name.startswith('resnet') else expected.flatten(1, 2)
        assert layout.grid == (7, 7)
        torch.testing.assert_close(generator(images)['tokens'], expected, rtol=1e-3, atol=1e-4)


def test_sizes_and_normalization_are_worked_out(caplog):
    pytest.importorskip('timm')
    teacher = dict(TIMM_VIT, model_name='vit_base_patch14_dinov2.lvd142m', reg_tokens=4, patch_size=14, img_size=42)
    generator, layout = connect(BackboneTargetGenerator(teacher, random_weights=0), 64, 16)
    # 4 x 4 patches of 14 pixels.
    assert generator.spec.size == (56, 56) and layout.grid == (4, 4)
    assert generator.spec.extra_tokens == 5
    assert generator(torch.rand(1, 3, 64, 64) * 255)['tokens'].shape == (1, 16, 32)
    text = str(generator.spec)
    for part in ('56 x 56 pixels', '4 x 4 tokens of 32', '(stride 14 x 14)', 'tokens: 5', '123.67'):
        assert part in text, text
    clip_like = dict(TIMM_VIT, model_name='vit_base_patch16_clip_224.openai')
    generator, _ = connect(BackboneTargetGenerator(clip_like, random_weights=0), 48, 8)
    assert generator.spec.mean[0] == pytest.approx(0.48145466 * 255)


def test_dinov2s_own_layout_with_registers(tmp_path):
    """Its names for registers, its mask token, its position embedding of another grid and with the class token's."""
    timm = pytest.importorskip('timm')
    settings = dict(embed_dim=32, depth=1, num_heads=2, img_size=56)
    name = 'vit_base_patch14_reg4_dinov2'
    net = timm.create_model(name, num_classes=0, **settings).eval()
    state = net.state_dict()
    released = {k: v for k, v in state.items() if k not in ('reg_token', 'pos_embed', 'cls_token')}
    released |= {
        'register_tokens': state['reg_token'],
        'mask_token': torch.zeros(1, 32),
        'cls_token': state['cls_token'] - 1,
        'pos_embed': torch.cat([torch.ones(1, 1, 32), state['pos_embed']], 1),
    }
    torch.save(released, tmp_path / 'dinov2.pth')
    teacher = dict(type='mmimg2vec.TimmTeacher', model_name=name, **settings)
    teacher['init_cfg'] = weights_from(tmp_path / 'dinov2.pth')
    generator, _ = connect(BackboneTargetGenerator(teacher, **Untouched()), 56, 14)
    images = torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        expected = net.forward_features(images)[:, 5:]
    torch.testing.assert_close(generator(images)['tokens'], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kind', ['clip', 'clip-folder', 'vit', 'vit_mae', 'registers', 'resnet', 'swin'])
def test_a_transformers_model_is_transformers(tmp_path, kind):
    transformers = pytest.importorskip('transformers')
    small = dict(CLIP, image_size=64)
    del small['model_type']
    configs = {
        'clip': transformers.CLIPVisionConfig(**small),
        'clip-folder': transformers.CLIPConfig(
            vision_config=small,
            text_config=dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9),
        ),
        'vit': transformers.ViTConfig(**small),
        'vit_mae': transformers.ViTMAEConfig(**small),
        'registers': transformers.Dinov2WithRegistersConfig(**small, num_register_tokens=2),
        'resnet': transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type='basic'),
        'swin': transformers.SwinConfig(
            image_size=64, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4
        ),
    }
    torch.manual_seed(2)
    whole = transformers.AutoModel.from_config(configs[kind]).eval()
    whole.save_pretrained(tmp_path)  # config.json and model.safetensors
    processor = dict(image_mean=[0, 0, 0], image_std=[1 / 255] * 3)
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(processor))
    patch, extra = {'resnet': (8, 0), 'swin': (8, 0), 'registers': (16, 3)}.get(kind, (16, 1))
    teacher = dict(
        type='mmimg2vec.TransformersTeacher',
        folder=str(tmp_path),
        init_cfg=weights_from(tmp_path / 'model.safetensors'),
    )
    generator, layout = connect(BackboneTargetGenerator(teacher, normalization='none'), patch=patch)
    images = torch.randn(2, 3, 64, 64)
    tower = whole.vision_model if kind == 'clip-folder' else whole
    if kind == 'vit_mae':
        tower.config.mask_ratio = 0.0
        noise = torch.arange(16.0).expand(2, -1)
        arguments = dict(noise=noise)
    else:
        arguments = {}
    with torch.no_grad():
        expected = tower(pixel_values=images, **arguments).last_hidden_state
    expected = expected.flatten(2).mT if kind == 'resnet' else expected[:, extra:]
    assert layout.grid == (64 // patch, 64 // patch)
    assert generator.spec.extra_tokens == extra
    torch.testing.assert_close(generator(images)['tokens'], expected, rtol=1e-4, atol=1e-4)
    assert generator.spec.mean == (0, 0, 0) and 'preprocessor_config' in generator.spec.known_from


@pytest.mark.parametrize(
    ('teacher', 'message'),
    [
        (dict(type='mmimg2vec.TimmTeacher', model_name='vit_tiny_patch16_22'), 'near: vit_tiny_patch16_224'),
        (dict(type='mmimg2vec.TimmTeacher', model_name='resnet18.nothing'), r'near: resnet18\.'),
        (dict(type='mmimg2vec.TimmTeacher', model_name='resnet18', depthh=3), 'cannot be built.*depthh'),
    ],
)
def test_timm_mistakes(teacher, message):
    pytest.importorskip('timm')
    with pytest.raises(UserError, match=message):
        connect(BackboneTargetGenerator(teacher, random_weights=0))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(), 'needs either folder'),
        (dict(folder='gone'), r'gone/config.json cannot be read'),
        (dict(config=dict(model_type='nothing')), "model_type='nothing'"),
        (dict(config=CLIP, mean=(1, 2, 3)), 'mean and std together'),
    ],
)
def test_transformers_mistakes(kwargs, message):
    pytest.importorskip('transformers')
    teacher = dict(type='mmimg2vec.TransformersTeacher', **kwargs)
    with pytest.raises(UserError, match=message):
        connect(BackboneTargetGenerator(teacher, random_weights=0))


class TestStudentAsTeacher:
    ARCH = 'dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)'

    def save(self, path, backbone, model=''):
        torch.manual_seed(0)
        arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
        net = MaskedVisionTransformer(arch=arch, img_size=64, patch_size=16)
        net.init_weights()
        net.eval()
        state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
        text = f'model = dict(type="mmimg2vec.Img2Vec", backbone={backbone}, {model})\n'
        torch.save({'state_dict': state, 'meta': {'config': text}}, path)
        return net

    def test_the_file_alone_is_enough(self, tmp_path):
        path = tmp_path / 'backbone.pth'
        backbone = (
            "dict(type='mmimg2vec.MaskedVisionTransformer', img_size=64, patch_size=16, "
            f'arch={self.ARCH}, norm_cfg=dict(type="LN", eps=1e-6), '
            "init_cfg=dict(type='Pretrained', checkpoint='gone.pth'))"
        )
        net = self.save(path, backbone, 'data_preprocessor=dict(mean=[1.0, 2, 3], std=[4, 5, 6])')
        generator, _ = connect(BackboneTargetGenerator(str(path), normalization='none'))
        images = torch.randn(2, 3, 64, 64) * 9
        shown = (images - torch.tensor([1.0, 2, 3]).view(3, 1, 1)) / torch.tensor([4.0, 5, 6]).view(3, 1, 1)
        with torch.no_grad():
            expected = net(shown)[-1]
        torch.testing.assert_close(generator(images)['tokens'], expected[:, 1:], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(generator(images)['pooled'], expected[:, 0], rtol=1e-4, atol=1e-4)

    def test_written_out_it_is_the_same(self, tmp_path):
        path = tmp_path / 'backbone.pth'
        self.save(path, f"dict(type='MaskedVisionTransformer', img_size=64, patch_size=16, arch={self.ARCH})")
        teacher = dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
            img_size=64,
            patch_size=16,
            init_cfg=weights_from(path),
        )
        first, _ = connect(BackboneTargetGenerator(str(path)))
        second, _ = connect(BackboneTargetGenerator(teacher))
        assert first.fingerprint == second.fingerprint

    @pytest.mark.parametrize('option', ["type='MAEViT', mask_ratio=0.6", "type='mmpretrain.MoCoV3ViT', norm_eval=True"])
    def test_students_of_mmpretrain(self, tmp_path, option):
        path = tmp_path / 'backbone.pth'
        net = self.save(path, f'dict({option}, img_size=64, patch_size=16, arch={self.ARCH})')
        generator, _ = connect(BackboneTargetGenerator(str(path), normalization='none'))
        images = torch.randn(1, 3, 64, 64)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (generator.spec.mean, generator.spec.std))
        with torch.no_grad():
            expected = net((images - mean) / std)[-1][:, 1:]
        torch.testing.assert_close(generator(images)['tokens'], expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ('backbone', 'message'),
        [
            ("dict(type='os.system')", 'a backbone system'),
            (
                "dict(type='mmpretrain.ResNet', depth=18, norm_cfg=dict(type='pathlib.Path.touch'))",
                'which a file may not choose',
            ),
            ('dict()', 'does not say what its backbone is'),
            ('[print(1)]', 'does not say what its backbone is'),
        ],
    )
    def test_a_file_chooses_no_code(self, tmp_path, backbone, message):
        self.save(tmp_path / 'backbone.pth', backbone)
        with pytest.raises(UserError, match=message):
            BackboneTargetGenerator(str(tmp_path / 'backbone.pth'))


@pytest.mark.parametrize(
    ('size', 'stride', 'grid'),
    [
        ((32, 96), (16, 16), (2, 6)),
        ((96, 32), (16, 8), (6, 4)),
        ((40, 90), (16, 16), (2, 5)),  # what is left over is dropped
        ((40, 90), (16, 16), (3, 6)),  # or padded
    ],
)
@pytest.mark.parametrize(('extra', 'class_token', 'first'), [(0, None, False), (1, None, True), (5, False, False)])
def test_tokens_in_raster_order(size, stride, grid, extra, class_token, first):
    output = torch.randn(2, extra + grid[0] * grid[1], 4)
    found = from_tokens(output, extra, stride, size, class_token)
    assert found.grid == grid and torch.equal(found.tokens, output[:, extra:])
    torch.testing.assert_close(found.pooled, output[:, 0] if first else output[:, extra:].mean(dim=1))
    with pytest.raises(UserError, match=rf'gives {output.shape[1] + 1} tokens for images of {size[0]} x {size[1]} '):
        from_tokens(torch.zeros(2, output.shape[1] + 1, 4), extra, stride, size)
