"""What all masked image models of the project share."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.target_generators.base import TargetGenerator
from mmimg2vec.models.utils import check_mask, count_masked
from mmimg2vec.registry import MODELS

# As MAE's official code initializes (arXiv 2111.06377, appendix A.1).
MAE_INIT = (
    dict(type='Xavier', layer='Linear', distribution='uniform'),
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
)


class MaskedImageModel(BaseSelfSupervisor):
    """Backbone, optional fusion, neck, head and target generator, built so that their sizes agree.

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

    Raises:
        UserError: Parts that do not fit one another.
    """

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
        self.head = MODELS.build({'in_channels': dims, 'pooled_channels': layout.pooled_channels, **head})

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        mask: Tensor | None = None,
        num_masked: int | None = None,
        token_rank: Tensor | None = None,
    ) -> dict[str, Tensor] | tuple[Tensor, ...]:
        """Losses of a masked batch (``mode='loss'``) or the backbone's features of whole images (``'tensor'``).

        Args:
            inputs: ``(B, C, H, W)`` normalized images.
            data_samples: Not used.
            mode: ``'loss'`` or ``'tensor'``.
            mask: ``(B, L)`` bool, ``True`` = masked; needed for ``'loss'``.
            num_masked: Masked patches per sample; None reads it from the mask, which waits for the device.
            token_rank: ``(B, L)`` random ranks of the patches; see :meth:`FeatureHead.positions`.

        Raises:
            ValueError: ``mode`` is another.
            UserError: There is no mask where one is needed.
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
        if num_masked is None or mask.device.type == 'cpu':  # where it costs no wait for a device
            num_masked = count_masked(mask)
        return self.loss(inputs, mask, num_masked, token_rank)

    def check_inputs(self, inputs: Tensor, mask: Tensor) -> None:
        """Check that images and masks have the sizes that the model was built for.

        Args:
            inputs: ``(B, C, H, W)``.
            mask: ``(B, L)``.

        Raises:
            UserError: They do not. Neck and head know one grid only: another would go on with wrong positions.
        """
        if tuple(inputs.shape[-2:]) != tuple(self.backbone.img_size):
            height, width = self.backbone.img_size
            raise UserError(
                f'the images are {inputs.shape[-2]} x {inputs.shape[-1]} (height x width) and model.backbone.img_size '
                f'is ({height}, {width}): set scale={(width, height)} (width, height) in the RandomResizedCrop of the '
                'pipeline, or another img_size'
            )
        rows, columns = self.backbone.grid
        check_mask(mask, len(inputs), (rows, columns))

    def loss(self, inputs: Tensor, mask: Tensor, num_masked: int, token_rank: Tensor | None) -> dict[str, Tensor]:
        """Losses of a masked batch, and the shares of the fused blocks to watch; arguments as :meth:`forward`."""
        target = self.target_generator(inputs)
        latents = self.encode(inputs, mask, num_masked)
        losses = self.compare(latents, target, mask, num_masked, token_rank)[1]
        return losses if self.fusion is None else {**losses, **self.fusion.shares()}

    def compare(
        self,
        latents: Tensor,
        target: dict[str, Tensor],
        mask: Tensor,
        num_masked: int,
        token_rank: Tensor | None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict at the patches that the head asks for, and compare with the target.

        Args:
            latents: ``(B, 1 + V, C)`` of :meth:`encode`.
            target: ``tokens`` and ``pooled`` of the target generator.
            mask: ``(B, L)`` bool, ``True`` = masked.
            num_masked: Masked patches per sample.
            token_rank: ``(B, L)`` random ranks of the patches, or None.

        Returns:
            The prediction ``(B, P, C)`` at the patches of ``head.positions``, and the losses.
        """
        check_target(target, mask)
        positions = self.head.positions(mask, num_masked, token_rank)
        prediction = self.neck(latents, mask, positions, num_masked)
        return prediction, self.head.loss(prediction, positions, latents[:, 0], target)

    def init_weights(self) -> None:
        """Initialize the trained parts and load the target generator's weights."""
        super().init_weights()
        self.target_generator.load()

    def encode(self, inputs: Tensor, mask: Tensor, num_masked: int) -> Tensor:
        """Latents of the visible patches, fused and normed: ``(B, 1 + V, C)``, the class token first."""
        blocks = None if self.fusion is None else self.fusion.blocks
        tokens = self.backbone(inputs, mask, num_masked, blocks)
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
        nothing = inputs.new_zeros(len(inputs), length, dtype=torch.bool)
        return (self.encode(inputs, nothing, 0),)

    @torch.no_grad()
    def predict_features(
        self, inputs: Tensor, mask: Tensor, num_masked: int, token_rank: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Predictions at every masked patch beside the targets, for pictures.

        Returns:
            ``positions`` ``(B, P)``, ``prediction`` ``(B, P, C)``, ``target`` ``(B, L, C)``, ``mask`` ``(B, L)``.
        """
        latents = self.encode(inputs, mask, num_masked)
        positions = mask.int().argsort(dim=1, stable=True)[:, mask.shape[1] - num_masked :]
        prediction = self.neck(latents, mask, positions, num_masked)
        target = self.target_generator(inputs)['tokens']
        return dict(positions=positions, prediction=prediction, target=target, mask=mask)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        # mmengine goes on with a warning where a checkpoint has other names: from random weights.
        if not any(name.startswith(f'{prefix}backbone.') for name in state_dict):
            raise UserError(
                f'the checkpoint holds nothing of this model (no backbone., but e.g. {min(state_dict, default="nothing")})'
                ': name one of this method, or start the backbone alone by model.backbone.init_cfg'
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
                f'{type(generator).__name__} gives {layout.grid[0]} x {layout.grid[1]} target tokens and the student has '
                f'{backbone.grid[0]} x {backbone.grid[1]} patches: it has to bring its tokens onto the grid of the student'
            )
        return layout

    def _check_blocks(self) -> None:
        depth = self.backbone.num_layers
        if self.fusion is not None and self.fusion.blocks[-1] != depth - 1:
            raise UserError(
                f'fusion.blocks={self.fusion.blocks} has to end with the last of the {depth} blocks of the backbone, '
                f'{depth - 1}'
            )


def check_target(target: dict[str, Tensor], mask: Tensor) -> None:
    """Check that there is a target token for each patch; more would be compared with the wrong patches in silence.

    Args:
        target: ``tokens`` ``(B, L, C)`` among others.
        mask: ``(B, L)``.

    Raises:
        UserError: There is not.
    """
    count = target['tokens'].shape[1]
    if count != mask.shape[1]:
        raise UserError(
            f'the target has {count} tokens per image and the mask {mask.shape[1]} patches: the target generator has to '
            "bring its tokens onto the student's grid"
        )
