"""CLIP's text tower over whole words, with the names of OpenAI's release."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.models.utils import QuickGELU
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.utils import check_heads
from mmimg2vec.registry import MODELS


class TextBlock(nn.Module):
    """Pre-norm attention and MLP, named as in OpenAI's release.

    Args:
        dims: Width of the tokens.
        num_heads: Attention heads.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dims)
        self.attn = nn.MultiheadAttention(dims, num_heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(dims)
        layers = dict(c_fc=nn.Linear(dims, 4 * dims), gelu=QuickGELU(), c_proj=nn.Linear(4 * dims, dims))
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens ``(B, N, C)`` and what each may not look at ``(N, N)`` -> ``(B, N, C)``."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


@MODELS.register_module()
class CLIPTextTower(BaseModule):
    """The text half of CLIP (arXiv 2103.00020, section 2.4): causal, read off at the end token.

    Tokens are whole words, not byte pairs (the project's choice: captions of a closed vocabulary). 0 pads, 1 to n are
    the words, n + 1 begins a text and n + 2 ends it.

    Args:
        vocabulary: The words, each once.
        embed_dims: Width.
        num_layers: Number of blocks.
        num_heads: Attention heads.
        out_channels: Width of the space shared with the images.
        context_length: Longest text, begin and end included.

    Raises:
        UserError: The vocabulary is empty or names a word twice, or the width does not divide into the heads.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        embed_dims: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        out_channels: int = 64,
        context_length: int = 16,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_heads(embed_dims, num_heads)
        self.ids = {word: number for number, word in enumerate(vocabulary, start=1)}
        if not vocabulary or len(self.ids) < len(vocabulary):
            raise UserError('the vocabulary of the text tower has to name words, each once')
        self.begin, self.end = len(vocabulary) + 1, len(vocabulary) + 2
        self.out_channels = out_channels
        self.context_length = context_length
        self.token_embedding = nn.Embedding(self.end + 1, embed_dims)
        self.positional_embedding = nn.Parameter(torch.zeros(context_length, embed_dims))
        blocks = [TextBlock(embed_dims, num_heads) for _ in range(num_layers)]
        self.transformer = nn.ModuleDict({'resblocks': nn.ModuleList(blocks)})
        self.ln_final = nn.LayerNorm(embed_dims)
        self.text_projection = nn.Parameter(torch.zeros(embed_dims, out_channels))

    def init_weights(self) -> None:
        """Initialize as CLIP: normal, 0.02 for tokens, 0.01 for positions, ``width ** -0.5`` for the projection."""
        super().init_weights()
        width = self.token_embedding.embedding_dim
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=width**-0.5)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Texts -> token ids, int64 ``(N, longest of them)``, on the device of the tower.

        Raises:
            UserError: A text has a word that is not in the vocabulary, or is too long.
        """
        rows = []
        for text in texts:
            words = text.split()
            unknown = [word for word in words if word not in self.ids]
            if unknown:
                raise UserError(
                    f'{text!r} has the word {unknown[0]!r}, which is not in the vocabulary of model.text_encoder: '
                    'add it'
                )
            if len(words) + 2 > self.context_length:
                raise UserError(
                    f'{text!r} has {len(words)} words, and model.text_encoder.context_length={self.context_length} '
                    f'leaves room for {self.context_length - 2}: raise it'
                )
            rows.append(torch.tensor([self.begin, *(self.ids[word] for word in words), self.end]))
        tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return tokens.to(self.positional_embedding.device)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids ``(N, T)`` -> features of the texts ``(N, out_channels)``, not normalized."""
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        # No token looks at a later one, padding included.
        later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        for block in self.transformer['resblocks'].children():
            x = block(x, later)
        # The end token has the largest id.
        x = x[torch.arange(len(x), device=x.device), tokens.argmax(dim=1)]
        return self.ln_final(x) @ self.text_projection
