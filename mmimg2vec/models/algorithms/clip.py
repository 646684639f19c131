"""CLIP: an image and a text tower trained by contrast, to make a teacher of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmimg2vec.checkpoint.layouts.clip import to_openai
from mmimg2vec.errors import UserError
from mmimg2vec.models.losses.contrast_loss import image_text_contrast
from mmimg2vec.registry import MODELS

# Of the paper: the first temperature is 0.07, and cosines are never multiplied by more than 100.
_FIRST_SCALE = math.log(1 / 0.07)
_LARGEST_SCALE = math.log(100)


@MODELS.register_module()
class CLIP(BaseModel):
    """Contrastive language-image pre-training (CLIP, arXiv 2103.00020).

    ::

        inputs ──► backbone ─► class token ─┐
                                            ├─► cosines x exp(logit_scale) ─► loss
        captions ► text_encoder ────────────┘

    Equal captions in a batch are all right answers; see :func:`image_text_contrast`. Each process compares its own
    batch. Classes are predicted by their texts, without training on labels (section 3.1).

    Args:
        backbone: Config of the image tower, a ``mmimg2vec.CLIPVisionTower``.
        text_encoder: Config of a ``mmimg2vec.CLIPTextTower`` without ``out_channels``, which is the image tower's.
        classes: Names of the classes that ``predict`` tells apart, in the order of the labels.
        templates: Texts with ``{}`` in place of the name; a class is the mean of its texts' features (section 3.1.4).
        data_preprocessor: Config; ``mmimg2vec.MaskedImagePreprocessor`` by default. Its mean and std are CLIP's own
            where the tower is to be loaded as CLIP.

    Raises:
        UserError: A template has no place for the name, or classes come without one.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        text_encoder: dict[str, Any],
        classes: Sequence[str] = (),
        templates: Sequence[str] = (),
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        preprocessor = {'type': 'mmimg2vec.MaskedImagePreprocessor', **(data_preprocessor or {})}
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        if bool(classes) != bool(templates) or not all('{}' in text for text in templates):
            raise UserError("CLIP tells classes apart by texts: give model.classes and model.templates, such as 'a {}'")
        self.backbone = MODELS.build({'type': 'mmimg2vec.CLIPVisionTower', **backbone})
        self.text_encoder = MODELS.build(
            {
                'type': 'mmimg2vec.CLIPTextTower',
                **text_encoder,
                'out_channels': self.backbone.proj.out_features,
            }
        )
        self.logit_scale = nn.Parameter(torch.tensor(_FIRST_SCALE))
        self.classes, self.templates = tuple(classes), tuple(templates)

    def forward(self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor') -> Any:
        """Run one of the modes of mmengine.

        Args:
            inputs: Images ``(B, C, H, W)``, normalized.
            data_samples: With ``caption`` for ``'loss'``.
            mode: ``'loss'``, ``'predict'`` (class scores in the data samples) or ``'tensor'`` (as
                :meth:`extract_feat`).
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples or [])
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.extract_feat(inputs)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor]:
        """Class token and patches ``(B, 1 + L, C)`` in the shared space."""
        return self.backbone(inputs)

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Loss, and quantities to watch.

        Returns:
            ``loss_contrast``; ``temperature``; ``retrieval_accuracy``: share (0 to 1) of the images whose nearest
            caption of the batch is theirs.
        """
        captions = [sample.caption for sample in data_samples]
        with torch.no_grad():
            self.logit_scale.clamp_(max=_LARGEST_SCALE)
        image = self.backbone(inputs)[0][:, 0]
        text = self.text_encoder(self.text_encoder.tokenize(captions))
        same = equal_pairs(captions).to(image.device)
        loss = image_text_contrast(image, text, same, self.logit_scale.exp())
        with torch.no_grad():
            nearest = (image @ F.normalize(text, dim=-1).T).argmax(dim=1)
            hits = same.gather(1, nearest.unsqueeze(1)).float().mean()
        return {
            'loss_contrast': loss,
            'temperature': (-self.logit_scale.detach()).exp(),
            'retrieval_accuracy': hits,
        }

    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Score the classes by the cosine of the image with their texts.

        Raises:
            UserError: There are no classes.
        """
        if not self.classes:
            raise UserError('set model.classes and model.templates to predict classes')
        image = F.normalize(self.backbone(inputs)[0][:, 0], dim=-1)
        scores = (self.logit_scale.exp() * image @ self.class_features().T).softmax(dim=1)
        samples = [DataSample() for _ in scores] if data_samples is None else data_samples
        for sample, score in zip(samples, scores, strict=True):
            sample.set_pred_score(score).set_pred_label(score.argmax(dim=0, keepdim=True))
        return samples

    def class_features(self) -> Tensor:
        """One normalized feature per class, ``(classes, C)``."""
        texts = [template.format(name) for name in self.classes for template in self.templates]
        features = F.normalize(self.text_encoder(self.text_encoder.tokenize(texts)), dim=-1)
        means = features.unflatten(0, (len(self.classes), len(self.templates))).mean(dim=1)
        return F.normalize(means, dim=-1)

    @staticmethod
    def openai_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From this model's weights to the names and shapes of OpenAI's release, both towers."""
        towers: dict[str, dict[str, Tensor]] = {part: {} for part in ('backbone', 'text_encoder')}
        for name, tensor in state.items():
            part, _, inner = name.partition('.')
            if part in towers:
                towers[part][inner] = tensor
        return {
            'logit_scale': state['logit_scale'],
            **to_openai(towers['backbone']),
            **towers['text_encoder'],
        }


def equal_pairs(captions: Sequence[str]) -> Tensor:
    """Which captions are equal: bool ``(B, B)``."""
    numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    ids = torch.tensor([numbers[caption] for caption in captions])
    return ids.unsqueeze(0) == ids.unsqueeze(1)
