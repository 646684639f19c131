"""The same scenes written in three real layouts: ImageNet's folders, COCO's JSON, ADE20K's folders.

::

    OUT/imagenet/{train,val}/CLASS/SCENE_OBJECT.jpg      one square crop per object that is seen well enough
    OUT/imagenet/captions_{train,val}.json               file -> caption and the words it is made of
    OUT/coco/{train,val}/SCENE.jpg                       whole scenes
    OUT/coco/annotations/instances_{train,val}.json      boxes and masks (RLE) of the *visible* parts
    OUT/coco/annotations/captions_{train,val}.json       one caption per scene
    OUT/ade/images/{training,validation}/SCENE.jpg       whole scenes
    OUT/ade/annotations/{training,validation}/SCENE.png  0 other, 1 ground, 2.. classes (reduce_zero_label=True)
    OUT/WORLD.json                                       the options, written last (shapes.json, cutouts.json)
"""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from mmimg2vec.datasets.scenes.scene import Scene
from mmimg2vec.datasets.scenes.views import (
    crop_object,
    encode_rle,
    scene_caption,
    segmentation_map,
    visible_objects,
)
from mmimg2vec.errors import UserError

#: Scenes of one split, at most.
MAX_SCENES = 1 << 30

_ADE_SPLIT = {'train': 'training', 'val': 'validation'}


@dataclass(frozen=True)
class SceneOptions:
    """What decides how many scenes there are and how they are cut up, whatever their world.

    Attributes:
        scenes: Number of training scenes (about 4.5 crops each).
        val_scenes: Number of validation scenes.
        seed: Which world.
        size: Height and width of a scene in pixels.
        crop: Height and width of an ImageNet crop in pixels.
        context: Largest side of the square that is cropped, relative to the longer side of the object's box; the
            smallest is 1.1.
        min_visible: Share of an object that must be seen for it to get a crop.
    """

    scenes: int = 1200
    val_scenes: int = 300
    seed: int = 0
    size: int = 160
    crop: int = 64
    context: float = 1.5
    min_visible: float = 0.5

    def check(self, name: str) -> None:
        """Refuse what cannot be drawn.

        Args:
            name: Of the world, for the error.

        Raises:
            UserError: An option is out of its range.
        """
        if self.scenes < 1 or self.val_scenes < 0 or self.seed < 0:
            raise UserError(
                f'{name}: scenes={self.scenes}, val_scenes={self.val_scenes}, seed={self.seed}: '
                'give at least 1 training scene, and no negative number'
            )
        if max(self.scenes, self.val_scenes) > MAX_SCENES:
            raise UserError(f'{name}: at most {MAX_SCENES} scenes per split; ask for fewer')
        if self.size < 64 or self.crop < 16:
            raise UserError(
                f'{name}: size={self.size}, crop={self.crop}: give a size of at least 64 and a crop of at least 16'
            )
        if self.context < 1.1 or not 0 < self.min_visible <= 1:
            raise UserError(
                f'{name}: context={self.context}, min_visible={self.min_visible}: '
                'give a context of at least 1.1 and a share in (0, 1]'
            )


class World(ABC):
    """Scenes of a kind: what can be in them, and how one is made.

    Attributes:
        name: Such as ``'Shapes'``; its lower case names the file of the options.
        version: Raised whenever the same options give other pictures, so that an old folder is not taken for a new one.
        classes: Names in alphabetical order, which is also the order that ``ImageNet`` gives to folders.
        supercategory: Of all of them, in COCO's JSON.
        palette: A color (RGB) for the ground and for each class.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    classes: ClassVar[tuple[str, ...]]
    supercategory: ClassVar[str]
    palette: ClassVar[tuple[tuple[int, int, int], ...]]

    def __init__(self, options: SceneOptions) -> None:
        self.options = options
        options.check(self.name)

    @abstractmethod
    def draw(self, split: str, number: int) -> Scene:
        """Scene ``number`` of ``'train'`` or ``'val'``; depends on no other scene and on no count."""

    def described(self) -> dict[str, Any]:
        """What decides the pictures: compared with what a finished folder says."""
        return dict(generator_version=self.version, options=asdict(self.options))


def _write_image(path: Path, image: np.ndarray) -> None:
    settings = [cv2.IMWRITE_JPEG_QUALITY, 93] if path.suffix == '.jpg' else []
    done, data = cv2.imencode(path.suffix, image, settings)
    if not done:
        raise RuntimeError(f'OpenCV cannot encode {path.suffix}')
    path.write_bytes(data.tobytes())


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, separators=(',', ':')) + '\n', encoding='utf-8')


def _write_split(root: Path, world: World, split: str, count: int, step: Callable[[], None]) -> int:
    """Write ``count`` scenes of one split; returns the number of crops."""
    options, classes = world.options, world.classes
    crops, scenes = root / 'imagenet' / split, root / 'coco' / split
    pictures = root / 'ade' / 'images' / _ADE_SPLIT[split]
    maps = root / 'ade' / 'annotations' / _ADE_SPLIT[split]
    annotations = root / 'coco' / 'annotations'
    for folder in (scenes, pictures, maps, annotations, *(crops / name for name in classes)):
        folder.mkdir(parents=True, exist_ok=True)
    images: list[dict] = []
    instances: list[dict] = []
    captions: list[dict] = []
    words: dict = {}
    for number in range(count):
        scene = world.draw(split, number)
        seen, stem = visible_objects(scene), f'{number:06d}'
        _write_image(scenes / f'{stem}.jpg', scene.image)
        shutil.copyfile(scenes / f'{stem}.jpg', pictures / f'{stem}.jpg')
        _write_image(maps / f'{stem}.png', segmentation_map(scene, seen))
        image_id = number + 1
        images.append(dict(id=image_id, file_name=f'{stem}.jpg', height=options.size, width=options.size))
        captions.append(dict(id=image_id, image_id=image_id, caption=scene_caption(scene, seen)))
        for index, visible in seen.items():
            item = scene.objects[index]
            described = dict(item.attributes, caption=scene.caption(index))
            instances.append(
                dict(
                    id=len(instances) + 1,
                    image_id=image_id,
                    category_id=item.class_index + 1,
                    bbox=list(visible.box),
                    area=visible.area,
                    segmentation=encode_rle(visible.mask),
                    iscrowd=int(visible.fragment),
                    attributes=described,
                )
            )
            if visible.share >= options.min_visible and not visible.fragment:
                name = classes[item.class_index]
                file = f'{name}/{stem}_{index}.jpg'
                picture = crop_object(scene, index, visible.box, options.context, options.crop)
                _write_image(crops / file, picture)
                words[file] = dict(
                    described,
                    name=name,
                    **scene.ground,
                    visible=round(visible.share, 3),
                )
        step()
    categories = [dict(id=k + 1, name=name, supercategory=world.supercategory) for k, name in enumerate(classes)]
    common = dict(info=dict(description=f'{world.name}, drawn by mmimg2vec'), licenses=[], images=images)
    _write_json(
        annotations / f'instances_{split}.json',
        dict(common, annotations=instances, categories=categories),
    )
    _write_json(annotations / f'captions_{split}.json', dict(common, annotations=captions))
    _write_json(root / 'imagenet' / f'captions_{split}.json', words)
    return len(words)


def read_options(file: Path) -> dict | None:
    """What a finished folder says of itself, or None where there is no such file.

    Args:
        file: ``OUT/shapes.json`` or the like.

    Raises:
        UserError: The file is damaged.
    """
    try:
        return json.loads(file.read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise UserError(f'{file} is not readable JSON: delete {file.parent} and run again') from None


def write_scenes(
    out: str | Path,
    world: World,
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Write the three layouts into ``out``; nothing is done where they are there already.

    The files are written beside ``out`` and moved there when all are complete, so that ``out`` is either whole or
    absent.

    Args:
        out: The folder to be made.
        world: What to draw.
        progress: Called with (scenes done, scenes in all) after each scene.

    Returns:
        The content of the file of the options: what :meth:`World.described` says, and the number of crops per split.

    Raises:
        UserError: ``out`` holds something else.
    """
    options, name = world.options, world.name
    out = Path(out).expanduser().resolve()
    record = f'{name.lower()}.json'
    wanted = world.described()
    found = read_options(out / record)
    if found is not None:
        if all(found.get(key) == value for key, value in wanted.items()):
            return found
        was, now = _flat(found), _flat(wanted)
        changed = ', '.join(f'{k}={was.get(k)} not {v}' for k, v in now.items() if was.get(k) != v)
        raise UserError(
            f'{out} holds {name} drawn with other options ({changed}): delete that folder or name another one'
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f'{out} exists and is not a folder of {name}: name another one, or delete it')

    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    done, total = 0, options.scenes + options.val_scenes

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    crops = {
        split: _write_split(partial, world, split, count, step)
        for split, count in (('train', options.scenes), ('val', options.val_scenes))
    }
    content = dict(wanted, crops=crops)
    _write_json(partial / record, content)
    partial.replace(out)
    return content


def _flat(content: dict) -> dict[str, Any]:
    """Options and what stands beside them, side by side."""
    return {**(content.get('options') or {}), **{k: v for k, v in content.items() if k != 'options'}}
