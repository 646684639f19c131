"""Pages of pictures about embeddings: nearest neighbors of images, and principal components as colors."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmimg2vec.datasets.image_files import find_images
from mmimg2vec.errors import UserError
from mmimg2vec.inference.embedding import NAME, Embedder, with_progress
from mmimg2vec.teacher_selection.images import load_image, subsample
from mmimg2vec.utils.write import write_text
from mmimg2vec.visualization.foreground import ForegroundBasis, fit_foreground, foreground_colors

_SIDE = 144  # pixels of a picture on a page
_CHUNK = 4096  # embeddings that are compared at once
# Images and tokens of each that a basis is fitted to: some hundred thousand numbers per channel, whatever the folder.
_FITTED_IMAGES, _FITTED_TOKENS = 1000, 64
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; margin-bottom: 1.5rem; }
figure { margin: 0; width: 9rem; } figure.query { outline: 3px solid #0b6; outline-offset: 2px; margin-right: 1rem; }
img { width: 9rem; height: auto; display: block; image-rendering: pixelated; }
.pair { width: 18rem; } .pair img { width: 18rem; }
figcaption { font-size: 12px; overflow-wrap: anywhere; }
"""


def write_neighbors(
    embedder: Embedder, out: str | Path, queries: Sequence[str | Path], result: Mapping[str, Any], count: int = 10
) -> Path:
    """Write ``out/neighbors.html``: for each query the images whose embeddings are nearest by cosine.

    Args:
        embedder: That made the embeddings.
        out: Folder of ``embeddings.npy``, which is read in pieces. Of patches, an image is the mean of them.
        queries: Image files, or folders; an image is no neighbor of itself.
        result: What :func:`~mmimg2vec.inference.embedding.embed` returned.
        count: Neighbors of each query.

    Returns:
        The page.

    Raises:
        UserError: A query cannot be read.
    """
    out = Path(out)
    failed: dict[Path, str] = {}
    paths, found = [], []
    for batch in embedder.read(list(find_images(queries, out)), skipped=failed.__setitem__):
        paths += batch.paths
        found.append(_vectors(embedder.pool(batch.tokens, result['kind'])))
    if failed:
        path, reason = next(iter(failed.items()))
        raise UserError(f'the query {path} cannot be read: {reason}')
    names = result['images']
    bank = np.load(out / f'{NAME}.npy', mmap_mode='r')
    similarity, neighbors = _nearest(torch.cat(found), bank, min(count + 1, len(names)))
    sections = []
    for query, scores, indices in zip(paths, similarity.tolist(), neighbors.tolist(), strict=True):
        pairs = [(Path(names[index]), score) for index, score in zip(indices, scores, strict=True)]
        others = [(path, score) for path, score in pairs if path.resolve() != query.resolve()][:count]
        figures = [_figure(query, 'query', embedder.img_size, 'query')]
        figures += [_figure(path, f'{score:.3f}', embedder.img_size) for path, score in others]
        sections.append(f'<div class="row">{"".join(figures)}</div>')
    title = f'Nearest of {len(names)} images, by the cosine of their embeddings ({result["kind"]})'
    return _write_page(out / 'neighbors.html', title, sections)


def write_components(
    embedder: Embedder,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    threshold: float = 0.5,
    batch_size: int = 64,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Write ``out/pca/NAME.png`` for each image, beside itself, and ``out/pca.html`` that shows them.

    The three colors are the first principal components of the patch tokens in the foreground, on one basis for all
    images: what has one color is alike. The basis is fitted to tokens of at most a thousand images, evenly spread.

    Args:
        embedder: What makes the tokens.
        images: Image files, and folders with images; what cannot be read is left out, as :func:`embed` has listed it.
        out: Folder of the results.
        threshold: See :func:`~mmimg2vec.visualization.foreground.fit_foreground`.
        batch_size: Images at once.
        workers: Processes that load images.
        report: Called with a line now and then.

    Returns:
        The page.

    Raises:
        UserError: The backbone gives no patches, no image can be read, or nothing is left above the threshold.
    """
    embedder.check('patches')
    out = Path(out)
    names = find_images([images] if isinstance(images, str | Path) else images, out)
    basis = _fit(embedder, subsample(list(names), _FITTED_IMAGES), threshold, batch_size, workers)
    (out / 'pca').mkdir(parents=True, exist_ok=True)
    figures = []
    skipped: dict[Path, str] = {}
    batches = embedder.read(list(names), batch_size, workers, skipped.__setitem__)
    for batch in with_progress(batches, len(names), lambda: len(skipped), report):
        colors = foreground_colors(embedder.patches(batch.tokens), basis).view(-1, *embedder.grid, 3).numpy()
        for path, picture, color in zip(batch.paths, batch.pictures, colors, strict=True):
            shown = picture.permute(1, 2, 0).numpy()
            size = (shown.shape[1], shown.shape[0])
            enlarged = cv2.resize((255 * color).round().astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            target = out / 'pca' / f'{names[path]}.png'
            target.write_bytes(_encoded('.png', np.concatenate([shown, enlarged], 1)))
            figures.append(
                f'<figure class="pair"><img loading="lazy" src="pca/{html.escape(_address(target.name))}" alt="">'
                f'<figcaption>{html.escape(str(path))}</figcaption></figure>'
            )
    title = f'Principal components of the foreground of {len(figures)} images, on one basis'
    return _write_page(out / 'pca.html', title, [f'<div class="row">{"".join(figures)}</div>'])


def _fit(embedder: Embedder, paths: Sequence[Path], threshold: float, batch_size: int, workers: int) -> ForegroundBasis:
    rows, columns = embedder.grid
    edge = torch.ones(rows, columns, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    # The same places of every image, spread at random.
    chosen = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(0))[:_FITTED_TOKENS]
    tokens, borders = [], []
    for batch in embedder.read(paths, batch_size, workers):
        tokens.append(embedder.patches(batch.tokens)[:, chosen].flatten(0, 1))
        borders.append(edge.flatten()[chosen].repeat(len(batch.paths)))
    if not tokens:
        raise UserError('none of the images can be read')
    return fit_foreground(torch.cat(tokens), torch.cat(borders), threshold)


def _nearest(queries: Tensor, bank: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    """Similarities and indices (Q, count) of the nearest rows of the bank, largest first."""
    best = torch.empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.long)
    queries = F.normalize(queries, dim=1)
    for start in range(0, len(bank), _CHUNK):
        rows = F.normalize(_vectors(torch.from_numpy(np.array(bank[start : start + _CHUNK]))), dim=1)
        best = torch.cat([best, queries @ rows.T], 1)
        indices = torch.cat([indices, torch.arange(start, start + len(rows)).expand(len(queries), -1)], 1)
        best, order = best.topk(min(count, best.shape[1]), dim=1)
        indices = indices.gather(1, order)
    return best, indices


def _vectors(embeddings: Tensor) -> Tensor:
    """One vector per image, of patches their mean."""
    return embeddings.mean(1) if embeddings.ndim == 3 else embeddings


def _figure(path: Path, text: str, size: int, kind: str = '') -> str:
    picture = load_image(path, max(size, _SIDE)).permute(1, 2, 0).numpy()
    data = base64.b64encode(_encoded('.jpg', picture)).decode()
    return (
        f'<figure class="{kind}"><img src="data:image/jpeg;base64,{data}" alt="">'
        f'<figcaption>{html.escape(text)}<br>{html.escape(str(path))}</figcaption></figure>'
    )


def _encoded(suffix: str, picture: np.ndarray) -> bytes:
    return cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()


def _address(name: str) -> str:
    """A file name as part of an address: ``%``, ``?`` and ``#`` mean something there."""
    return name.replace('%', '%25').replace('?', '%3F').replace('#', '%23')


def _write_page(path: Path, title: str, sections: Sequence[str]) -> Path:
    body = '\n'.join(sections)
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n'
    )
    write_text(path, text.encode('utf-8', 'backslashreplace').decode('utf-8'))
    return path
