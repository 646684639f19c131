"""CLIP trained here: its loss, its text tower, its classes, and the file that it leaves."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from mmimg2vec import UserError
from mmimg2vec.models import CLIP, CLIPTargetGenerator, CLIPTextTower
from mmimg2vec.models.algorithms.clip import equal_pairs
from mmimg2vec.models.losses import image_text_contrast
from mmimg2vec.models.target_generators.clip import CLIP_MEAN, CLIP_STD

WORDS = ('a', 'red', 'blue', 'ball', 'fish')
OUT, SIZE, PATCH = 12, 32, 8
TOWER = dict(
    arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=96),
    img_size=SIZE,
    patch_size=PATCH,
    out_channels=OUT,
)
CAPTIONS = ['a red ball', 'a blue fish', 'a red ball', 'a blue ball', 'a red ball']


def build(**kwargs):
    torch.manual_seed(0)
    config = dict(
        backbone=TOWER,
        text_encoder=dict(vocabulary=WORDS, embed_dims=16, num_heads=2, context_length=6),
        data_preprocessor=dict(mean=CLIP_MEAN, std=CLIP_STD, to_rgb=True),
    )
    model = CLIP(**{**config, **kwargs})
    model.init_weights()
    # Away from zeros and ones, so that nothing hides behind them.
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def samples_of(captions):
    samples = [DataSample() for _ in captions]
    for sample, caption in zip(samples, captions, strict=True):
        sample.set_metainfo(dict(caption=caption))
    return samples


def plain_loss(image, text, captions, scale):
    """The same sum, pair by pair."""
    count, total = len(captions), 0.0

    def score(i, j):
        return math.exp(scale * F.cosine_similarity(image[i], text[j], dim=0).item())

    for i in range(count):
        equal = [j for j in range(count) if captions[j] == captions[i]]
        for j in equal:
            total -= math.log(score(i, j) / sum(score(i, k) for k in range(count))) / len(equal)
            total -= math.log(score(j, i) / sum(score(k, i) for k in range(count))) / len(equal)
    return total / (2 * count)


class TestLoss:
    @pytest.fixture
    def features(self):
        torch.manual_seed(1)
        return torch.randn(5, OUT), 3 * torch.randn(5, OUT)

    @pytest.mark.parametrize('captions', [CAPTIONS, list('abcde'), list('aaaaa')])
    @pytest.mark.parametrize('scale', [1.0, 14.3])
    def test_is_the_plain_sum(self, captions, scale, features):
        found = image_text_contrast(*features, equal_pairs(captions), torch.tensor(scale))
        assert math.isclose(found.item(), plain_loss(*features, captions, scale), rel_tol=1e-5)

    def test_equal_captions_are_all_right(self, features):
        image, _ = features
        # Perfectly told apart: what is left is the choice among equal captions.
        ids = torch.tensor([0, 1, 0, 2, 0])
        perfect = F.one_hot(ids, OUT).float()
        loss = image_text_contrast(perfect, perfect, equal_pairs(CAPTIONS), torch.tensor(100.0))
        assert math.isclose(loss.item(), 3 / 5 * math.log(3), rel_tol=1e-4)
        # An image is drawn to the equal caption of another image as to its own, and away from others.
        text = torch.eye(5, OUT)
        image = torch.ones(5, OUT, requires_grad=True)
        image_text_contrast(image, text, equal_pairs(CAPTIONS), torch.tensor(5.0)).backward()
        pull = -image.grad[0, :5]
        assert (pull[[0, 2, 4]] > 0).all() and (pull[[1, 3]] < 0).all()
        torch.testing.assert_close(pull[2], pull[0])

    def test_a_step_against_the_gradient_tells_pairs_apart(self, features):
        image, text = (x.requires_grad_() for x in features)
        same = equal_pairs(list('abcde'))
        image_text_contrast(image, text, same, torch.tensor(10.0)).backward()
        before, after = (
            F.cosine_similarity((image - step * image.grad).unsqueeze(1), text - step * text.grad, dim=2)
            for step in (0.0, 1.0)
        )
        assert (after - before)[same].mean() > 0 > (after - before)[~same].mean()

    def test_of_the_model(self):
        model, images = build(), torch.randn(5, 3, SIZE, SIZE)
        losses = model(images, samples_of(CAPTIONS), mode='loss')
        image = model.backbone(images)[0][:, 0].detach()
        text = model.text_encoder(model.text_encoder.tokenize(CAPTIONS)).detach()
        scale = model.logit_scale.exp().item()
        wanted = plain_loss(image, text, CAPTIONS, scale)
        assert math.isclose(losses['loss_contrast'].item(), wanted, rel_tol=1e-4)
        assert math.isclose(losses['temperature'].item(), 1 / scale, rel_tol=1e-5)
        nearest = [max(range(5), key=lambda j, i=i: F.cosine_similarity(image[i], text[j], dim=0)) for i in range(5)]
        hits = sum(CAPTIONS[j] == CAPTIONS[i] for i, j in enumerate(nearest)) / 5
        assert losses['retrieval_accuracy'].item() == pytest.approx(hits)
        losses['loss_contrast'].backward()
        assert all(p.grad is not None for p in model.parameters())

    def test_first_and_largest_scale(self):
        model = CLIP(TOWER, dict(vocabulary=WORDS, embed_dims=16))
        assert math.isclose(model.logit_scale.exp().item(), 1 / 0.07, rel_tol=1e-6)
        model.logit_scale.data.fill_(9.0)
        model(torch.randn(2, 3, SIZE, SIZE), samples_of(CAPTIONS[:2]), mode='loss')
        assert math.isclose(model.logit_scale.exp().item(), 100, rel_tol=1e-5)


class TestTextTower:
    @pytest.fixture
    def tower(self):
        return build().text_encoder.eval()

    def test_tokens(self, tower):
        assert tower.tokenize(['a fish', 'a red ball']).tolist() == [[6, 1, 5, 7, 0], [6, 1, 2, 4, 7]]

    def test_a_text_is_read_whole_and_by_itself(self, tower):
        alone = tower(tower.tokenize(['a fish']))
        # Padded beside a longer one.
        torch.testing.assert_close(tower(tower.tokenize(['a fish', 'a red ball']))[:1], alone)
        others = tower(tower.tokenize(['fish a', 'a ball', 'red fish']))
        assert ((others - alone).abs().amax(dim=1) > 1e-3).all()

    def test_mistakes_are_one_line(self, tower):
        for text, message in (
            ('a green ball', "the word 'green', which is not in the vocabulary"),
            ('a red red red ball', 'has 5 words, .*context_length=6 leaves room for 4'),
        ):
            with pytest.raises(UserError, match=message) as caught:
                tower.tokenize([text])
            assert '\n' not in str(caught.value)
        for words in ((), ('a', 'red', 'a')):
            with pytest.raises(UserError, match='name words, each once'):
                CLIPTextTower(words)

    def test_is_clips(self, tower):
        """transformers' text tower, filled from OpenAI's names, gives the same features."""
        transformers = pytest.importorskip('transformers')
        config = transformers.CLIPTextConfig(
            vocab_size=8,
            hidden_size=16,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=6,
            projection_dim=OUT,
            eos_token_id=7,
            bos_token_id=6,
            pad_token_id=0,
        )
        theirs = transformers.CLIPTextModelWithProjection(config).eval()
        theirs.load_state_dict(in_transformers_layout(tower.state_dict()))
        tokens = tower.tokenize(['a fish', 'a red ball'])
        with torch.no_grad():
            found = theirs(input_ids=tokens).text_embeds
        torch.testing.assert_close(found, tower(tokens).detach(), rtol=1e-4, atol=1e-5)


def in_transformers_layout(state):
    table = {'ln_1': 'layer_norm1', 'ln_2': 'layer_norm2', 'attn.out_proj': 'self_attn.out_proj',
             'mlp.c_fc': 'mlp.fc1', 'mlp.c_proj': 'mlp.fc2'}  # fmt: skip
    renamed = {
        'text_projection.weight': state['text_projection'].T,
        'text_model.embeddings.token_embedding.weight': state['token_embedding.weight'],
        'text_model.embeddings.position_embedding.weight': state['positional_embedding'],
    }
    for name, tensor in state.items():
        if name.startswith('ln_final'):
            renamed[f'text_model.final_layer_norm.{name.split(".")[1]}'] = tensor
        if not name.startswith('transformer.resblocks.'):
            continue
        index, inner = name.split('.', 3)[2:]
        block = f'text_model.encoder.layers.{index}'
        if inner.startswith('attn.in_proj_'):
            for letter, part in zip('qkv', tensor.chunk(3), strict=True):
                renamed[f'{block}.self_attn.{letter}_proj.{inner[13:]}'] = part
        else:
            part, _, kind = inner.rpartition('.')
            renamed[f'{block}.{table[part]}.{kind}'] = tensor
    return renamed


class TestClasses:
    TEMPLATES = ('a red {}', 'a blue {}')

    def test_are_told_by_their_texts(self):
        model = build(classes=('ball', 'fish'), templates=self.TEMPLATES).eval()
        images = torch.randn(3, 3, SIZE, SIZE)
        with torch.no_grad():
            found = model(images, samples_of(CAPTIONS[:3]), mode='predict')
            image = F.normalize(model(images)[0][:, 0], dim=1)
            for name, feature in zip(model.classes, model.class_features(), strict=True):
                texts = model.text_encoder.tokenize([f'a red {name}', f'a blue {name}'])
                mean = F.normalize(model.text_encoder(texts), dim=1).mean(dim=0)
                torch.testing.assert_close(feature, F.normalize(mean, dim=0))
            scores = (model.logit_scale.exp() * image @ model.class_features().T).softmax(dim=1)
        for sample, score in zip(found, scores, strict=True):
            torch.testing.assert_close(sample.pred_score, score)
            assert sample.pred_label.item() == score.argmax().item()
        with torch.no_grad():
            bare = model(images, mode='predict')
        assert [sample.pred_label.item() for sample in bare] == [sample.pred_label.item() for sample in found]

    def test_mistakes_are_one_line(self):
        for kwargs in (
            dict(classes=('ball',)),
            dict(templates=self.TEMPLATES),
            dict(classes=('ball',), templates=('a red ball',)),
        ):
            with pytest.raises(UserError, match=r'give model\.classes and model\.templates'):
                build(**kwargs)
        with pytest.raises(UserError, match=r'set model\.classes'):
            build()(torch.randn(1, 3, SIZE, SIZE), mode='predict')


class TestFile:
    @pytest.fixture
    def state(self):
        self.model = build().eval()
        return CLIP.openai_state(self.model.state_dict())

    def test_has_openais_names_and_shapes(self, state):
        width, tokens = 24, (SIZE // PATCH) ** 2 + 1
        wanted = {
            'logit_scale': (),
            'visual.class_embedding': (width,),
            'visual.positional_embedding': (tokens, width),
            'visual.conv1.weight': (width, 3, PATCH, PATCH),
            'visual.ln_pre.weight': (width,),
            'visual.ln_post.bias': (width,),
            'visual.proj': (width, OUT),
            'visual.transformer.resblocks.1.attn.in_proj_weight': (3 * width, width),
            'visual.transformer.resblocks.0.attn.out_proj.bias': (width,),
            'visual.transformer.resblocks.0.mlp.c_fc.weight': (4 * width, width),
            'visual.transformer.resblocks.1.mlp.c_proj.weight': (width, 4 * width),
            'visual.transformer.resblocks.1.ln_2.weight': (width,),
            'token_embedding.weight': (8, 16),
            'positional_embedding': (6, 16),
            'transformer.resblocks.1.attn.in_proj_bias': (48,),
            'transformer.resblocks.0.mlp.c_fc.bias': (64,),
            'transformer.resblocks.0.ln_1.weight': (16,),
            'ln_final.weight': (16,),
            'text_projection': (16, OUT),
        }
        assert {name: tuple(state[name].shape) for name in wanted} == wanted
        # Two blocks of 12 tensors in either tower; nothing else, nothing lost.
        assert len(state) == 1 + 8 + 24 + 5 + 24 == len(self.model.state_dict())

    def test_is_taken_up_by_the_target_generator(self, state, tmp_path):
        path = tmp_path / 'clip.pth'
        torch.save({'state_dict': state, 'meta': {'epoch': 1}}, path)
        teacher = dict(TOWER, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
        part = CLIPTargetGenerator(teacher)
        # A student with another normalization, BGR files turned into RGB for both.
        mean, std = torch.tensor([10.0, 20.0, 30.0]), torch.tensor([2.0, 4.0, 8.0])
        part.connect((PATCH, PATCH), 3, mean, std)
        part.describe((SIZE, SIZE))
        part.load()
        files = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
        rgb = files.flip(1).float()
        targets = part((rgb - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        with torch.no_grad():
            tokens = self.model(**self.model.data_preprocessor(dict(inputs=files)))[0]
        torch.testing.assert_close(targets['tokens'], tokens[:, 1:], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(targets['pooled'], tokens[:, 0], rtol=1e-4, atol=1e-4)
        # Frozen, and of the text tower nothing.
        assert not list(part.parameters())
        kept = sum(x.numel() for x in part.teacher.buffers())
        assert kept == sum(x.numel() for x in self.model.backbone.parameters())
