import copy
import hashlib

import pytest
import torch
from contracts import TargetGeneratorContract
from mmpretrain.models.utils import QuickGELU
from torch import nn

from mmimg2vec import UserError
from mmimg2vec.checkpoint.fill import fill as fill_from
from mmimg2vec.checkpoint.layouts.clip import image_tower, to_openai
from mmimg2vec.models import CLIPTargetGenerator, CLIPVisionTower
from mmimg2vec.models.target_generators.clip import CLIP_MEAN, CLIP_STD

WIDTH, OUT, SIZE, PATCH, DEPTH, HEADS = 32, 24, 64, 16, 2, 4
TEACHER = dict(
    arch=dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=4 * WIDTH),
    img_size=SIZE,
    patch_size=PATCH,
    out_channels=OUT,
)


class ReferenceTower(nn.Module):
    """CLIP's image tower from torch's own attention, with the names of OpenAI's release and the text tower's beside."""

    def __init__(self):
        super().__init__()
        self.visual = visual = nn.Module()
        visual.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        visual.class_embedding = nn.Parameter(torch.randn(WIDTH))
        visual.positional_embedding = nn.Parameter(torch.randn((SIZE // PATCH) ** 2 + 1, WIDTH))
        visual.ln_pre, visual.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        visual.transformer = nn.Module()
        visual.transformer.resblocks = nn.ModuleList(self.block() for _ in range(DEPTH))
        visual.proj = nn.Parameter(torch.randn(WIDTH, OUT))
        self.token_embedding = nn.Embedding(7, WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, OUT))
        self.logit_scale = nn.Parameter(torch.ones([]))

    @staticmethod
    def block():
        block = nn.Module()
        block.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        block.ln_1, block.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        block.mlp = nn.Module()
        block.mlp.c_fc, block.mlp.c_proj = (nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH))
        return block

    def forward(self, images):
        visual = self.visual
        x = visual.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat((visual.class_embedding.expand(len(x), 1, -1), x), 1)
        x = visual.ln_pre(x + visual.positional_embedding)
        for block in visual.transformer.resblocks:
            y = block.ln_1(x)
            x = x + block.attn(y, y, y, need_weights=False)[0]
            x = x + block.mlp.c_proj(QuickGELU()(block.mlp.c_fc(block.ln_2(x))))
        return visual.ln_post(x) @ visual.proj


def randomized(model):
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data = 0.2 * torch.randn_like(parameter) + 0.05
    model.eval()
    return model


def generator(path, sha256=None, **kwargs):
    init = dict(type='Pretrained', checkpoint=str(path), sha256=sha256)
    teacher = dict(TEACHER, init_cfg=init)
    return CLIPTargetGenerator(teacher, **kwargs)


def fill(tower, path):
    fill_from(tower, str(path), convert=tower.convert_weights)
    tower.eval()


def connect(part, mean=None, std=None):
    part.connect((PATCH, PATCH), 3, mean, std)
    part.describe((SIZE, SIZE))
    return part


@pytest.fixture()
def reference():
    return randomized(ReferenceTower())


@pytest.fixture()
def save(tmp_path):
    def save(state, name='clip.pt'):
        torch.save(state, tmp_path / name)
        return tmp_path / name

    return save


class TestContract(TargetGeneratorContract):
    img_size, patch = (SIZE, SIZE), PATCH

    def build(self):
        return CLIPTargetGenerator(copy.deepcopy(TEACHER), random_weights=0)


def test_all_tokens_in_clips_own_normalization(reference, save):
    mean, std = torch.tensor([10.0, 20.0, 30.0]), torch.tensor([2.0, 4.0, 8.0])
    part = connect(generator(save(reference.state_dict())), mean.view(1, 3, 1, 1), std)
    gray = torch.rand(2, 3, SIZE, SIZE) * 255
    as_clip = (gray - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)
    result = part((gray - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    expected = reference(as_clip)
    torch.testing.assert_close(result['tokens'], expected[:, 1:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(result['pooled'], expected[:, 0], rtol=1e-4, atol=1e-4)
    assert part.describe((SIZE, SIZE)).channels == OUT


def test_tokens_of_small_variance_are_normed_as_in_clip(reference, save):
    """Their variance is about the norms' own eps, 1e-5, where another eps would show."""
    with torch.no_grad():
        for tensor in (reference.visual.conv1.weight, reference.visual.class_embedding):
            tensor.mul_(2e-4)
        reference.visual.positional_embedding.mul_(1e-2)
    part = connect(generator(save(reference.state_dict()), mean=(0, 0, 0), std=(1, 1, 1)))
    images = torch.randn(2, 3, SIZE, SIZE)
    result, expected = part(images), reference(images)
    torch.testing.assert_close(result['tokens'], expected[:, 1:], rtol=1e-4, atol=1e-4)


def test_only_the_visual_half_is_kept(reference, save):
    part = connect(generator(save(reference.state_dict())))
    part.load()
    kept = sum(x.numel() for x in part.teacher.buffers())
    assert kept == sum(x.numel() for x in reference.visual.parameters())
    assert not list(part.parameters()) and not part.state_dict()


def half(state):
    return {key: value.half() for key, value in state.items()}


def of_open_clip(state):
    # A training checkpoint of open_clip: DDP's prefix, and other things beside.
    names = {f'module.{key}': value for key, value in state.items()}
    return {'epoch': 3, 'name': 'ViT-B-16', 'state_dict': names}


def visual_only(state):
    return {key: value for key, value in state.items() if key.startswith('visual.')}


def visual_state(state):
    # What `model.visual.state_dict()` gives.
    return {key.removeprefix('visual.'): value for key, value in visual_only(state).items()}


@pytest.mark.parametrize('layout', [half, of_open_clip, visual_only, visual_state])
def test_layouts_with_openais_names(layout, reference, save):
    tower = CLIPVisionTower(**TEACHER)
    state = reference.state_dict()
    fill(tower, str(save(layout(state))))
    if layout is half:
        reference.load_state_dict({k: v.half().float() for k, v in state.items()})
    images = torch.randn(2, 3, SIZE, SIZE)
    torch.testing.assert_close(tower(images)[0], reference(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('activation', ['quick_gelu', 'gelu'])
@pytest.mark.parametrize('kind', ['CLIPVisionModelWithProjection', 'CLIPModel'])
def test_transformers(kind, activation, tmp_path):
    transformers = pytest.importorskip('transformers')
    vision = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=OUT,
        hidden_act=activation,
    )
    if kind == 'CLIPModel':
        text = dict(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            vocab_size=20,
            eos_token_id=2,
        )
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=OUT)
    else:
        config = transformers.CLIPVisionConfig(**vision)
    theirs = randomized(getattr(transformers, kind)(config))
    theirs.save_pretrained(tmp_path)
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        tokens = theirs.vision_model(images).last_hidden_state
        expected = theirs.visual_projection(theirs.vision_model.post_layernorm(tokens))
        if kind == 'CLIPVisionModelWithProjection':
            torch.testing.assert_close(theirs(images).image_embeds, expected[:, 0])
    tower = CLIPVisionTower(**TEACHER, activation=activation)
    fill(tower, str(tmp_path / 'model.safetensors'))
    torch.testing.assert_close(tower(images)[0], expected, rtol=1e-4, atol=1e-4)


def test_position_ids_of_old_versions_are_no_weights(reference):
    state = reference.state_dict()
    weights = {
        'vision_model.embeddings.patch_embedding.weight': state['visual.conv1.weight'],
        'visual_projection.weight': state['visual.proj'].T,
    }
    ids = {'vision_model.embeddings.position_ids': torch.arange(5)[None]}
    assert set(image_tower({**weights, **ids})) == set(image_tower(weights))


def test_statistics_of_openais_preprocessing():
    assert pytest.approx((122.7709, 116.7460, 104.0937), abs=1e-3) == CLIP_MEAN
    assert pytest.approx((68.5005, 66.6322, 70.3232), abs=1e-3) == CLIP_STD


@pytest.mark.parametrize('part', ['k_proj', 'v_proj'])
def test_a_transformers_file_without_keys_or_values_is_named(part, reference):
    state = reference.state_dict()
    layer = 'vision_model.encoder.layers.0.self_attn'
    weights = {
        'vision_model.embeddings.patch_embedding.weight': state['visual.conv1.weight'],
        'visual_projection.weight': state['visual.proj'].T,
        **{f'{layer}.{x}.weight': torch.zeros(WIDTH, WIDTH) for x in ('q_proj', 'k_proj', 'v_proj')},
    }
    assert 'layers.0.attn.qkv.weight' in image_tower(weights)
    assert 'layers.0.attn.qkv.weight' not in image_tower(
        {name: value for name, value in weights.items() if part not in name}
    )


def test_round_trip(reference):
    state = visual_only(reference.state_dict())
    again = to_openai(image_tower(state))
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)
    tower = CLIPVisionTower(**TEACHER).state_dict()
    there = image_tower(to_openai(tower))
    assert there.keys() == tower.keys()
    assert all(torch.equal(there[key], tower[key]) for key in tower)


def test_images_of_another_size_than_the_tables(reference, save):
    part = generator(save(reference.state_dict()))
    part.connect((PATCH, PATCH), 3, None, None)
    assert part.describe((96, 32)).grid == (6, 2)
    result = part(torch.rand(1, 3, 96, 32) * 255)
    assert result['tokens'].shape == (1, 12, OUT) and result['tokens'].isfinite().all()


def test_its_own_type(reference, save):
    path = save(reference.state_dict())
    fine, coarse = (connect(generator(path, dtype=x)) for x in ('float32', 'bfloat16'))
    images = torch.rand(2, 3, SIZE, SIZE) * 255
    assert coarse(images)['tokens'].dtype == torch.float32
    assert {x.dtype for x in coarse.teacher.buffers()} == {torch.bfloat16}
    difference = (fine(images)['tokens'] - coarse(images)['tokens']).norm()
    assert 0 < difference < 0.1 * fine(images)['tokens'].norm()
    assert fine.fingerprint == coarse.fingerprint


def without_visual(state):
    return {key: value for key, value in state.items() if not key.startswith('visual.')}


def resnet(state):
    gone = ('transformer', 'visual.proj')  # it has an attention pool in place of both
    state = {key: value for key, value in state.items() if not any(part in key for part in gone)}
    return {**state, 'visual.layer1.0.conv1.weight': torch.zeros(1)}


def one_block(state):
    return {key: value for key, value in state.items() if 'resblocks.1.' not in key}


def without_projection(state):
    return {key: value for key, value in state.items() if key != 'visual.proj'}


def narrower(state):
    return {**state, 'visual.proj': state['visual.proj'][:, :8]}


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (without_visual, 'has no visual tower.*logit_scale'),
        (resnet, 'not CLIP.s plain vision transformer: it has layer1'),
        (one_block, 'visual tower has 1 blocks and the one of the config 2'),
        (without_projection, 'no projection into the shared space'),
        (narrower, r'proj.weight is \(8, 32\) in the file and \(24, 32\) in the model'),
    ],
)
def test_mistakes_are_one_line(spoil, message, reference, save):
    part = connect(generator(save(spoil(reference.state_dict()))))
    with pytest.raises(UserError, match=message) as caught:
        part.load()
    text = str(caught.value)
    assert '\n' not in text and 'clip.pt' in text and 'UserError' not in text


def test_sha256_is_verified(reference, save):
    path = save(reference.state_dict())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for sha256 in (digest, digest[:8]):
        part = connect(generator(path, sha256=sha256))
        part.load()
        assert part.teacher is not None
    with pytest.raises(UserError, match=f'clip.pt has the SHA-256 {digest}') as caught:
        connect(generator(path, sha256='0' * 64)).load()
    assert '\n' not in str(caught.value)


def test_unknown_activation():
    with pytest.raises(UserError, match="choose 'quick_gelu' or 'gelu'"):
        connect(CLIPTargetGenerator(dict(TEACHER, activation='relu'), random_weights=0))


def test_the_tower_sees_the_image_at_the_size_that_gives_the_students_grid():
    part = CLIPTargetGenerator(copy.deepcopy(TEACHER), random_weights=0)
    part.connect((8, 8), 3, None, None)
    assert part.describe((SIZE, SIZE)).grid == (8, 8)
    assert part(torch.rand(1, 3, SIZE, SIZE) * 255)['tokens'].shape == (1, 64, OUT)
    fixed = CLIPTargetGenerator(copy.deepcopy(TEACHER), input_size=SIZE, random_weights=0)
    fixed.connect((8, 8), 3, None, None)
    with pytest.raises(UserError, match=r'4 x 4 tokens .* student has 8 x 8'):
        fixed.describe((SIZE, SIZE))


def test_openais_program_is_refused_with_the_command_that_keeps_its_tensors(reference, tmp_path):
    path = tmp_path / 'ViT-B-16.pt'
    with torch.no_grad():
        torch.jit.trace(reference, torch.randn(1, 3, SIZE, SIZE)).save(str(path))
    with pytest.raises(UserError, match=r'TorchScript program.*torch.jit.load') as caught:
        connect(generator(path)).load()
    assert '\n' not in str(caught.value)
    # What that command writes.
    torch.save({'state_dict': torch.jit.load(str(path)).state_dict()}, tmp_path / 'tensors.pth')
    tower = CLIPVisionTower(**TEACHER)
    fill(tower, str(tmp_path / 'tensors.pth'))
    images = torch.randn(2, 3, SIZE, SIZE)
    torch.testing.assert_close(tower(images)[0], reference(images), rtol=1e-4, atol=1e-4)
