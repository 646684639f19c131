"""One teacher on a stream of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmimg2vec.errors import UserError
from mmimg2vec.models.target_generators import BackboneTargetGenerator, PixelTargetGenerator
from mmimg2vec.models.teachers.base import TeacherSpec, inspect_teacher
from mmimg2vec.models.utils import token_diversity
from mmimg2vec.registry import MODELS
from mmimg2vec.teacher_selection.cost import PeakMemory, count_macs
from mmimg2vec.teacher_selection.measures import Views, augment, measure_sample, mirror_tokens, own_knn
from mmimg2vec.teacher_selection.stages import stage_diversity
from mmimg2vec.teacher_selection.statistics import RunningMean, Thinned, effective_rank
from mmimg2vec.teacher_selection.table import Row

# Tokens that differ by less than this share of their length are the same.
_SAME = 1e-6
# Images whose mean tokens are kept for the teacher's own kNN, at most.
_KNN_IMAGES = 2000


@dataclass(frozen=True)
class Settings:
    """How teachers are measured.

    Attributes:
        img_size: Side of the images in pixels, as the student would see them.
        patch_size: The student's patch in pixels: the teacher's tokens are brought onto its grid, as in training.
        own_grid: Take the teacher's own grid for that size instead.
        normalized: Measure after the normalization of the targets that the config asks for, as the training log does;
            else the teacher's own features.
        batch_size: Images at a time.
        stage_images: That the stages' curves are measured on.
        sample_images: That the measures are computed on which need tokens of several images at once, spread over all;
            0 leaves them out.
        device: ``'cpu'``, ``'cuda:0'``, ...
        dtype: Type that the teacher runs in.
    """

    img_size: int = 224
    patch_size: int = 16
    own_grid: bool = False
    normalized: bool = False
    batch_size: int = 16
    stage_images: int = 32
    sample_images: int = 64
    device: str = 'cpu'
    dtype: str = 'float32'


def build_generator(cfg: dict[str, Any], settings: Settings, resample: bool = False) -> BackboneTargetGenerator:
    """Build and connect a target generator for images in gray levels 0 to 255.

    Args:
        cfg: Of the target generator.
        settings: How it will be measured.
        resample: Bring a map that does not have the student's grid onto it by bilinear resampling, where nothing else
            does.

    Raises:
        UserError: It cannot be built or filled, gives no tokens of a teacher, or its grid cannot be matched.
    """
    kind = MODELS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
    if not (isinstance(kind, type) and issubclass(kind, BackboneTargetGenerator)):
        raise UserError(f'{cfg["type"]} is no target generator with a teacher to be measured')
    cfg = dict(cfg, compile=False, dtype=settings.dtype)
    if not settings.normalized:
        cfg['normalization'] = 'none'
    try:
        generator = MODELS.build(cfg)
    except (TypeError, KeyError) as error:
        raise UserError(f'{cfg["type"]} cannot be built: {error}; check its options') from error
    size = (settings.img_size, settings.img_size)
    patch = (settings.patch_size, settings.patch_size)
    if settings.own_grid:
        seen = generator.input_size or size
        spec = inspect_teacher(generator._build, seen, fixed=generator.input_size is not None)
        patch = (size[0] // spec.grid[0], size[1] // spec.grid[1])
    generator.connect(patch, 3, None, None)
    try:
        generator.describe(size)
    except UserError:
        if not resample or generator.resample:
            raise
        return build_generator({**cfg, 'resample': 'bilinear'}, settings)
    return generator.to(settings.device)


@torch.no_grad()
def measure(
    name: str,
    cfg: dict[str, Any],
    batches: Callable[[], Iterable[Tensor]],
    settings: Settings,
    keep: int = 0,
    resample: bool = False,
    classes: Sequence[str] | None = None,
) -> tuple[Row, Tensor, tuple[int, int]]:
    """Measure a teacher.

    Args:
        name: For the table.
        cfg: Of its target generator.
        batches: Starts a pass over the images, ``(B, 3, H, W)`` in gray levels.
        settings: How.
        keep: Number of first images whose tokens are returned.
        resample: See :func:`build_generator`.
        classes: Of the images in the order of a pass, complete when it is over; None: they are not known.

    Returns:
        The row; the tokens of the first images ``(keep, L, C)``, on the CPU, and their grid.

    Raises:
        UserError: It cannot be built or filled, or its features are not finite or all the same.
    """
    device = torch.device(settings.device)
    memory = PeakMemory(device)
    generator = build_generator(cfg, settings, resample)
    generator.load()
    diversity, rank, zero, speed = RunningMean(), RunningMean(), RunningMean(), _Speed(device)
    kept: list[Tensor] = []
    sample, means, places = Thinned(settings.sample_images), Thinned(_KNN_IMAGES), Thinned(_KNN_IMAGES)
    reference, distance = None, 0.0
    for images in batches():
        with speed.timing(len(images)):
            tokens = generator(images.to(device))['tokens']
        if tokens.shape[1] < 2:
            raise UserError('one token has no diversity: measure with a larger --img-size')
        if not tokens.isfinite().all():
            raise UserError('its features of some image are not finite; check its weights')
        tokens = tokens.double()
        reference = tokens[0, 0].clone() if reference is None else reference
        distance = max(distance, (tokens - reference).norm(dim=-1).max().item())
        diversity.add(token_diversity(tokens))
        rank.add(effective_rank(tokens))
        sample.add(images)
        if classes is not None:
            places.add(torch.arange(places.seen, places.seen + len(images)))
            means.add(tokens.mean(dim=1).float().cpu())
        zero.add((tokens == 0).all(dim=-1).double().mean(dim=1))
        if sum(map(len, kept)) < keep:
            kept.append(tokens[: keep - sum(map(len, kept))].float().cpu())
    if reference is None:
        raise UserError('none of the images can be read')
    if distance <= _SAME * reference.norm().item():
        raise UserError(
            'zero variance: its features are the same for every token of every image; check its weights and '
            'its normalization'
        )
    peak = memory.mib()
    spec, side = generator.spec, settings.img_size
    assert spec is not None  # described when it was built
    grid = generator._student_grid(side, side)
    macs = count_macs(generator, torch.zeros(1, 3, side, side, device=device))
    low, high = diversity.interval()
    values, undefined = measure_sample(look(generator, sample.kept, grid, settings)) if sample.kept else ({}, {})
    if classes is not None:
        try:
            values['own_knn'] = own_knn(torch.stack(means.kept), [classes[int(place)] for place in places.kept])
        except UserError as error:
            undefined['own_knn'] = str(error)
    row = Row(
        teacher=name,
        trained=generator.random_weights is None,
        parameters=spec.parameters,
        gmac=None if macs is None else macs / 1e9,
        rows=grid[0],
        columns=grid[1],
        width=spec.channels,
        diversity=diversity.mean,
        diversity_low=low,
        diversity_high=high,
        effective_rank=rank.mean,
        images_per_second=speed.images_per_second(),
        memory_mib=peak,
        images=diversity.count,
        zero_tokens=zero.mean,
        measures=values,
        undefined=undefined,
        spec=_sentence(spec, grid, generator.resample),
    )
    if settings.stage_images:
        first = (images.to(device) for images in _first(batches(), settings.stage_images))
        row.stages = stage_diversity(generator, first)
    return row, torch.cat(kept) if kept else tokens[:0].float().cpu(), grid


def look(
    generator: BackboneTargetGenerator, images: Sequence[Tensor], grid: tuple[int, int], settings: Settings
) -> Views:
    """Tokens and pixels of a sample of images, as they are and under two augmentations.

    Args:
        generator: Connected, described and loaded.
        images: Each ``(3, H, W)`` in gray levels.
        grid: Of the student.
        settings: How.
    """
    views: list[list[Tensor]] = [[], [], []]
    pixels = PixelTargetGenerator(norm_pix=False)
    pixels.connect(generator.patch_size, 3, None, None)
    patches = []
    for start in range(0, len(images), settings.batch_size):
        batch = torch.stack(list(images[start : start + settings.batch_size]))
        patches.append(pixels(batch)['tokens'])
        for number, (changed, mirrored) in enumerate(
            [(batch, None), *(augment(batch, 2 * start + view) for view in (0, 1))]
        ):
            seen = generator(changed.to(settings.device))['tokens'].float().cpu()
            views[number].append(seen if mirrored is None else mirror_tokens(seen, mirrored, grid))
    tokens, first, second = map(torch.cat, views)
    return Views(tokens, first, second, torch.cat(patches), grid)


def _sentence(spec: TeacherSpec, grid: tuple[int, int], resample: str | None) -> str:
    if spec.grid == grid:
        return str(spec)
    return f"{spec}; brought onto the student's {grid[0]} x {grid[1]} tokens ({resample})"


def _first(batches: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    for images in batches:
        yield images[:count]
        count -= len(images)
        if count <= 0:
            return


class _Speed:
    """Images per second; the first batch warms up and counts only where it is the only one."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.batches: list[tuple[int, float]] = []

    def timing(self, count: int) -> _Speed:
        self.count = count
        return self

    def __enter__(self) -> None:
        self._wait()
        self.start = time.perf_counter()

    def __exit__(self, *args: object) -> None:
        self._wait()
        self.batches.append((self.count, time.perf_counter() - self.start))
        if len(self.batches) > 2:  # the first, and the sum of the others
            images, seconds = (sum(values) for values in zip(*self.batches[1:], strict=True))
            self.batches[1:] = [(images, seconds)]

    def images_per_second(self) -> float:
        images, seconds = self.batches[-1]
        return images / seconds

    def _wait(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
