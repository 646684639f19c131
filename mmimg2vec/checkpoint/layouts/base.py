"""What a foreign naming of weights is, to those who convert, export or load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mmimg2vec.checkpoint.architecture import Architecture

# Beside a backbone in a file: a classifier's head, MAE's decoder.
NOT_OF_BACKBONE = ('head.', 'decoder_', 'mask_token')


@dataclass(frozen=True)
class Network:
    """A plain vision transformer as another library builds it.

    Attributes:
        kwargs: Its arguments.
        config: Of such arguments, what tensors do not tell, as arguments of mmpretrain's.
        build: Arguments, weights in its names and the source for errors -> network, filled, in eval mode.
        features: Network and images ``(B, C, H, W)`` -> all tokens after the last block ``(B, L, C)``, or the
            normalized mean ``(B, C)``.
        model_name: The library's name of this very model, or None.
        any_size: Whether the network takes images of any size.
        suffixes: Of the files that it is exported to.
        hub_files: Architecture, and ``mean`` and ``std`` of images from 0 to 1 -> name -> JSON of the files beside the
            weights in a folder as the library's hub has it; None where it has no such folders.
    """

    kwargs: Callable[[Architecture], dict[str, Any]]
    config: Callable[[Mapping[str, Any]], dict[str, Any]]
    build: Callable[[Mapping[str, Any], Mapping[str, Tensor], str], nn.Module]
    features: Callable[[Any, Tensor], Tensor]
    model_name: Callable[[Architecture], str | None]
    any_size: bool
    suffixes: tuple[str, ...]
    hub_files: Callable[[Architecture, Mapping[str, Any]], dict[str, dict[str, Any]]] | None = None


@dataclass(frozen=True)
class Layout:
    """Whose names the weights of a network have, and how they become ours and theirs again.

    Attributes:
        name: In the table of layouts.
        to_ours: Name there -> tensor becomes name here -> tensor.
        to_theirs: The way back.
        whose: What the names there are called on the command line of a converter.
        convert: Converts a whole checkpoint, with what stands beside the weights, to the names that it is given
            (``'mmimg2vec'`` or ``whose``), and has further options; None where only weights are.
        network: Theirs, where it is built to compare; None: the network is ours under other names.
    """

    name: str
    to_ours: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    to_theirs: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    whose: str
    convert: Callable[..., dict[str, Any]] | None = None
    network: Network | None = None
