"""Networks as ONNX graphs of any batch and image size, each run by onnxruntime and compared when it is written."""

from __future__ import annotations

import copy
import inspect
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from mmimg2vec.checkpoint.parity import Parity
from mmimg2vec.environment import require
from mmimg2vec.errors import UserError

#: The oldest version of ONNX's operators with layer norm, and the newest that torch 2.1 knows.
OPSET = 17
#: Largest absolute difference of an output between torch and onnxruntime (the project's choice: float32 through another
#: library's kernels).
TOLERANCE = 1e-4
INPUT, BATCHES = 'images', (1, 5)
_LARGEST = 2**31 - 2**20  # of a protocol buffer, and some room for the graph


class TraceableAdaptivePool(nn.Module):
    """``nn.AdaptiveAvgPool2d`` as two products of matrices: ONNX has no such pooling for maps of any size.

    Args:
        output_size: Rows and columns of the result.
    """

    def __init__(self, output_size: tuple[int, int]) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """Average maps ``(B, C, H, W)`` over the same cells as torch does."""
        rows, columns = (self._weights(x, dim, count) for dim, count in zip((2, 3), self.output_size, strict=True))
        return rows @ x @ columns.transpose(0, 1)

    def _weights(self, x: Tensor, dim: int, count: int) -> Tensor:
        """``(count, size)``: share of each row, or column, in each cell."""
        places = torch.ones_like(x[0, 0].select(3 - dim, 0)).cumsum(0) - 1  # 0, 1, ...; its length is known when run
        size = places[-1] + 1
        cells = torch.arange(count, dtype=x.dtype, device=x.device)
        # Of whole numbers in float32: a half more keeps an exact quotient from falling below itself.
        start = ((cells * size + 0.5) / count).floor()
        end = -((-(cells + 1) * size + 0.5) / count).floor()
        inside = ((places >= start[:, None]) & (places < end[:, None])).to(x.dtype)
        return inside / inside.sum(1, keepdim=True)


def write_onnx(
    network: nn.Module,
    path: Path,
    sizes: Sequence[tuple[int, int]],
    in_channels: int,
    output: str,
    opset: int = OPSET,
) -> list[Parity]:
    """Write a network as an ONNX graph, run it and compare its outputs.

    The graph takes any batch and images of any size, or of one.

    Args:
        network: In eval mode; images ``(B, C, H, W)`` -> one tensor whose first dimension is the batch.
        path: File to write.
        sizes: (height, width) in pixels of the images that are compared, in batches of one and of five. A single one
            fixes the size of the images. Of several, the graph is drawn from the last: it should not be the one that
            the position embeddings are for, at which they are not resized.
        in_channels: Channels of an image.
        output: Name of the output.
        opset: Version of ONNX's operators.

    Returns:
        The comparison for each size and batch.

    Raises:
        UserError: onnx or onnxruntime is missing, the operators cannot express a layer, or the outputs differ.
    """
    # In one line: with either missing there is nothing to check, and nothing is written.
    for package in ('onnx', 'onnxruntime'):
        require(package, 'Writing an ONNX graph', 'onnx onnxruntime')
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size >= _LARGEST:
        raise UserError(
            f'the network has {size / 2**30:.1f} GiB, and one ONNX file holds less than 2: export another way'
        )
    network = revert_sync_batchnorm(copy.deepcopy(network).cpu()).eval()
    _replace_pools(network)
    images = _images(2, in_channels, sizes[-1])
    dynamic = {INPUT: {0: 'batch'}, output: {0: 'batch'}}
    if len(sizes) > 1:
        with torch.no_grad():
            dimensions = network(images[:1]).ndim
        dynamic[INPUT] |= {2: 'height', 3: 'width'}
        dynamic[output] |= {3: {1: 'tokens'}, 4: {2: 'rows', 3: 'columns'}}.get(dimensions, {})
    _draw(network, images, path, output, dynamic, opset)
    return _compare(network, path, sizes, in_channels)


def _draw(
    network: nn.Module, images: Tensor, path: Path, output: str, dynamic: dict[str, dict[int, str]], opset: int
) -> None:
    options: dict[str, Any] = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        # The other way fixes the size where the position embeddings need no resizing, and torch 2.1 does not have it.
        options['dynamo'] = False
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                network,
                (images,),
                str(path),
                input_names=[INPUT],
                output_names=[output],
                dynamic_axes=dynamic,
                opset_version=opset,
                **options,
            )
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = ' '.join(str(error).split())[:200]
        cure = '' if opset == OPSET else f': take --opset {OPSET}'
        raise UserError(f'opset {opset} of ONNX cannot express the network ({reason}){cure}') from error


def _compare(network: nn.Module, path: Path, sizes: Sequence[tuple[int, int]], in_channels: int) -> list[Parity]:
    runtime = require('onnxruntime', 'Checking an ONNX graph')
    session = runtime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    results = []
    for img_size in sizes:
        for batch in BATCHES:
            images = _images(batch, in_channels, img_size)
            with torch.no_grad():
                expected = network(images)
            where = f'{batch} images of {img_size[0]} x {img_size[1]} px'
            try:
                found = torch.from_numpy(session.run(None, {INPUT: images.numpy()})[0])
            except Exception as error:  # onnxruntime's own, which has no common parent
                reason = ' '.join(str(error).split())[:200]
                raise UserError(f'nothing is written: onnxruntime cannot run the graph on {where}: {reason}') from error
            if found.shape != expected.shape:
                raise UserError(
                    f'nothing is written: of {where} the graph makes {tuple(found.shape)}, torch '
                    f'{tuple(expected.shape)}'
                )
            difference = (found - expected).abs().max().item()
            if not difference <= TOLERANCE:  # also true of NaN
                raise UserError(
                    f'nothing is written: of {where} the outputs of onnxruntime and torch differ by {difference:.2g}; '
                    f'allowed is {TOLERANCE:g}'
                )
            results.append(Parity(img_size, difference, difference / max(expected.abs().max().item(), 1e-12)))
    return results


def _replace_pools(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d):
            size = child.output_size
            height, width = size if isinstance(size, tuple) else (size, size)
            # The mean over all is ONNX's own.
            if height is not None and width is not None and (height, width) != (1, 1):
                setattr(module, name, TraceableAdaptivePool((height, width)))
        else:
            _replace_pools(child)


def _images(batch: int, in_channels: int, img_size: tuple[int, int]) -> Tensor:
    return torch.randn(batch, in_channels, *img_size, generator=torch.Generator().manual_seed(0))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its future and on numbers held as constants, and without its graph on a failure.

    It prints that one from C++, where no setting of Python's reaches.
    """
    sys.stdout.flush()
    stdout, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)
