"""What all masked image models of the project share, and Img2Vec, which is nothing more."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor, nn

from mmimg2vec.errors import UserError
from mmimg2vec.models.heads.token_heads import TokenHead
from mmimg2vec.models.necks.decoders import TokenDecoder
from mmimg2vec.models.target_generators.base import TargetGenerator
from mmimg2vec.models.utils import TokenMask
from mmimg2vec.registry import MODELS

# As MAE's official code initializes (arXiv 2111.06377, appendix A.1).
MAE_INIT = (
    dict(type='Xavier', layer='Linear', distribution='uniform'),
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
)


class MaskedImageModel(BaseSelfSupervisor):
    """Backbone, optional fusion, neck, head and target generator, built so that their sizes agree.

    With K masks per image the target generator sees N images and all that is trained their N * K = B masked views.

    What can be worked out need not be configured: the target generator is told the student's patch size and
    normalization, the neck and the head get their widths and grid from backbone and target generator.

    Args:
        backbone: Config of the student.
        neck: Config of what predicts.
        head: Config of what compares.
        target_generator: Config of what gives the targets.
        fusion: Config of the fusion of several blocks; None takes the last block alone.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialization of the trained parts; MAE's by default.

    Attributes:
        neck_kind: What the neck has to be.
        head_kind: What the head has to be.

    Raises:
        UserError: Parts that do not fit one another.
    """

    neck_kind: type = TokenDecoder
    head_kind: type = TokenHead

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        target_generator: dict[str, Any],
        fusion: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        preprocessor = {'type': 'mmimg2vec.MaskedImagePreprocessor', **(data_preprocessor or {})}
        super().__init__(
            backbone=backbone,
            target_generator=target_generator,
            data_preprocessor=preprocessor,
            init_cfg=list(MAE_INIT) if init_cfg is None else init_cfg,
        )
        self.target_layout = layout = self._connect_target_generator()
        dims = self.backbone.embed_dims
        sizes = dict(in_channels=dims, out_channels=layout.channels, grid=self.backbone.grid)
        self.fusion = None if fusion is None else MODELS.build({'embed_dims': dims, **fusion})
        self._check_blocks()
        self.neck = MODELS.build({**sizes, **neck})
        _check_kind('neck', self.neck, self.neck_kind)
        class_channels = self.neck.out_channels if self.neck.predicts_class else dims
        widths = dict(in_channels=class_channels, pooled_channels=layout.pooled_channels)
        self.head = MODELS.build({**widths, **({'parts': layout.parts} if layout.parts else {}), **head})
        _check_kind('head', self.head, self.head_kind)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        mask: TokenMask | None = None,
    ) -> dict[str, Tensor] | tuple[Tensor, ...]:
        """Losses of a masked batch (``mode='loss'``) or the backbone's features of whole images (``'tensor'``).

        Args:
            inputs: ``(B, C, H, W)`` normalized images.
            data_samples: Not used.
            mode: ``'loss'`` or ``'tensor'``.
            mask: The masks, needed for ``'loss'``; the data preprocessor makes them of the batch.

        Raises:
            ValueError: ``mode`` is another.
            UserError: There are no masks, or images or masks of another size than the model was built for.
        """
        if mode == 'tensor':
            return self.extract_feat(inputs)
        if mode != 'loss':
            raise ValueError(f"mode={mode!r}: pre-training models know 'loss' and 'tensor'")
        if mask is None:
            raise UserError(
                'the batch has no masks; end the training pipeline with mmimg2vec.RandomTokenMask and '
                'mmimg2vec.PackMaskedInputs'
            )
        self.check_inputs(inputs, mask)
        return self.loss(inputs, mask)

    def check_inputs(self, inputs: Tensor, mask: TokenMask) -> None:
        """Check that images and masks have the sizes that the model was built for.

        Args:
            inputs: ``(B, C, H, W)``.
            mask: Their masks.

        Raises:
            UserError: They do not. Neck and head know one grid only: another would go on with wrong positions.
        """
        if tuple(inputs.shape[-2:]) != tuple(self.backbone.img_size):
            height, width = self.backbone.img_size
            raise UserError(
                f'the images are {inputs.shape[-2]} x {inputs.shape[-1]} (height x width) and model.backbone.img_size '
                f'is ({height}, {width}): set scale={(height, width)} (height, width) in the RandomResizedCrop of the '
                'pipeline, or another img_size'
            )
        rows, columns = self.backbone.grid
        if mask.num_images != len(inputs):
            raise UserError(
                f'there are {len(mask)} masks, {mask.per_image} per image, for a batch of {len(inputs)} images: each '
                f'needs {mask.per_image}'
            )
        if mask.num_tokens != rows * columns:
            raise UserError(
                f'the masks have {mask.num_tokens} tokens and the images {rows} x {columns} patches: give the mask '
                "transform the backbone's patch_size"
            )

    def loss(self, inputs: Tensor, mask: TokenMask) -> dict[str, Tensor]:
        """Losses of a masked batch, and the shares of the fused blocks to watch; arguments as :meth:`forward`."""
        target = self.target_generator(inputs)
        latents = self.encode(inputs, mask)
        losses = self.compare(latents, target, mask)[1]
        if self.fusion is None or not self.head.watching:
            return losses
        return {**losses, **self.fusion.shares()}

    def compare(self, latents: Tensor, target: dict[str, Tensor], mask: TokenMask) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict at the patches that the head asks for, and compare with the target.

        Args:
            latents: ``(B, 1 + V, C)`` of :meth:`encode`, a row per mask.
            target: ``tokens`` and ``pooled`` of the target generator, a row per image.
            mask: The masks.

        Returns:
            The prediction ``(B, P, C)`` at the patches of ``head.positions``, and the losses.
        """
        check_target(target, mask)
        positions = self.head.positions(mask)
        prediction = self.neck(latents, mask, positions)
        class_token = self.neck.predict_class(latents) if self.neck.predicts_class else latents[:, 0]
        return prediction, self.head.loss(prediction, positions, class_token, target)

    def init_weights(self) -> None:
        """Initialize the trained parts and load the target generator's weights."""
        super().init_weights()
        self.target_generator.load()

    def encode(self, inputs: Tensor, mask: TokenMask) -> Tensor:
        """Latents of the visible patches, fused and normed: ``(B, 1 + V, C)``, a row per mask, class token first."""
        blocks = None if self.fusion is None else self.fusion.blocks
        tokens = self.backbone(inputs, mask, blocks)
        latents = tokens[-1] if self.fusion is None else self.fusion(tokens)
        return self.backbone.norm1(latents)

    def extract_fused_feat(self, inputs: Tensor) -> tuple[Tensor]:
        """Fused and normed tokens of whole images, ``(B, 1 + L, C)``, the class token first.

        ``extract_feat`` gives those of the last block alone, as the backbone will downstream.

        Args:
            inputs: ``(B, C, H, W)`` normalized images.

        Raises:
            UserError: The model has no fusion.
        """
        if self.fusion is None:
            raise UserError('model.fusion is None: there are no fused features; use extract_feat')
        patch = self.backbone.patch_embed.projection.stride
        length = math.prod(-(-s // p) for s, p in zip(inputs.shape[-2:], patch, strict=True))
        return (self.encode(inputs, TokenMask.nothing(len(inputs), length, inputs.device)),)

    @torch.no_grad()
    def predict_features(self, inputs: Tensor, mask: TokenMask) -> dict[str, Tensor]:
        """Predictions beside the targets, for pictures: at every patch of the kind that the head is trained on.

        Args:
            inputs: ``(B, C, H, W)`` normalized images.
            mask: Their masks.

        Returns:
            ``positions`` ``(B, P)``, ``prediction`` ``(B, P, C)``, ``target`` ``(B, L, C)``, ``mask`` ``(B, L)``; of
            the first mask of each image, where there are several.
        """
        mask = mask.first
        positions = self.head.candidates(mask)
        prediction = self.neck(self.encode(inputs, mask), mask, positions)
        target = self.target_generator(inputs)['tokens']
        return dict(positions=positions, prediction=prediction, target=target, mask=mask.masked)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        # mmengine goes on with a warning where a checkpoint has other names: from random weights.
        if not any(name.startswith(f'{prefix}backbone.') for name in state_dict):
            raise UserError(
                'the checkpoint holds nothing of this model (no backbone., but e.g. '
                f'{min(state_dict, default="nothing")}): name one of this method, or start the backbone alone by '
                'model.backbone.init_cfg'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _connect_target_generator(self):
        generator, backbone = self.target_generator, self.backbone
        if not isinstance(generator, TargetGenerator):
            raise UserError(
                f'target_generator is a {type(generator).__name__}; it has to be one of mmimg2vec, such as '
                'mmimg2vec.BackboneTargetGenerator(teacher=...)'
            )
        projection = backbone.patch_embed.projection
        preprocessor = self.data_preprocessor
        if preprocessor.mean is not None and preprocessor.mean.numel() != projection.in_channels:
            raise UserError(
                f'model.backbone.in_channels={projection.in_channels} and {preprocessor.mean.numel()} values in '
                'model.data_preprocessor.mean: give mean and std one value per channel'
            )
        generator.connect(projection.stride, projection.in_channels, preprocessor.mean, preprocessor.std)
        layout = generator.describe(backbone.img_size)
        if tuple(layout.grid) != backbone.grid:
            raise UserError(
                f'{type(generator).__name__} gives {layout.grid[0]} x {layout.grid[1]} target tokens and the student '
                f'has {backbone.grid[0]} x {backbone.grid[1]} patches: it has to bring its tokens onto the grid of the '
                'student'
            )
        return layout

    def _check_blocks(self) -> None:
        depth = self.backbone.num_layers
        if self.fusion is not None and self.fusion.blocks[-1] != depth - 1:
            raise UserError(
                f'fusion.blocks={self.fusion.blocks} has to end with the last of the {depth} blocks of the backbone, '
                f'{depth - 1}'
            )


def _check_kind(name: str, part: nn.Module, kind: type) -> None:
    if not isinstance(part, kind):
        raise UserError(f'model.{name} is a {type(part).__name__}; it has to be a mmimg2vec.{kind.__name__}')


def check_target(target: dict[str, Tensor], mask: TokenMask) -> None:
    """Check that there is a target token for each patch; more would be compared with the wrong patches in silence.

    Args:
        target: ``tokens`` ``(B, L, C)`` among others.
        mask: The masks.

    Raises:
        UserError: There is not.
    """
    count = target['tokens'].shape[1]
    if count != mask.num_tokens:
        raise UserError(
            f'the target has {count} tokens per image and the mask {mask.num_tokens} patches: the target generator has '
            "to bring its tokens onto the student's grid"
        )


@MODELS.register_module()
class Img2Vec(MaskedImageModel):
    """Img2Vec (arXiv 2304.12535).

    ::

        inputs ─┬─────────────────────► target_generator (frozen) ──────────────► tokens, pooled
                └─ mask ─► backbone ─► fusion ─► norm ─► latents ─► neck ─► prediction ─► head ─► losses
                                                            └──────── class token ────────┘

    The paper has no public code; loss, target normalization, decoder and schedule are options whose defaults are the
    project's choice.

    Args:
        **kwargs: As :class:`MaskedImageModel`.
    """
