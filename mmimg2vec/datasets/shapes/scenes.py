"""One scene of the Shapes world.

``draw_scene(seed, index, size)`` is a pure function of its arguments; numpy and OpenCV only. Scene ``index`` does
not depend on how many scenes are asked for.
"""

from __future__ import annotations

import numpy as np

from mmimg2vec.datasets.scenes.light import Light, cast_shadow, expose
from mmimg2vec.datasets.scenes.scene import Scene, SceneObject, any_of, log_uniform, paste, place
from mmimg2vec.datasets.scenes.surfaces import COLOR_NAMES, GROUND_TEXTURES, paint_ground
from mmimg2vec.datasets.shapes.painting import paint_object
from mmimg2vec.datasets.shapes.vocabulary import CLASSES


def draw_scene(seed: int, index: int, size: int = 160) -> Scene:
    """Draw scene ``index`` of the world ``seed``.

    Args:
        seed: Which world; non-negative.
        index: Which scene of it; non-negative.
        size: Height and width of the image in pixels.
    """
    rng = np.random.default_rng([seed, index])
    ground_texture, ground_color = any_of(rng, GROUND_TEXTURES), any_of(rng, COLOR_NAMES)
    image = paint_ground(rng, ground_texture, ground_color, size)
    light = Light.draw(rng)
    owners = np.full((size, size), -1, np.int16)
    radii = [size * log_uniform(rng, 0.10, 0.21) for _ in range(int(rng.integers(3, 7)))]
    objects: list[SceneObject] = []
    for radius, (x, y) in zip(radii, place(rng, radii, size), strict=True):
        class_index = int(rng.integers(len(CLASSES)))
        column, row = int(x), int(y)
        toward = (light.shading * light.toward[0], light.shading * light.toward[1])
        drawn = paint_object(rng, CLASSES[class_index], radius, (x - column, y - row), toward)
        shadow = cast_shadow(drawn.cover, radius, light)
        paste(image, owners, len(objects), drawn.paint, drawn.cover, shadow, (column, row))
        across, down, width = rng.random(3).tolist()
        objects.append(
            SceneObject(
                class_index,
                f'{drawn.texture} {drawn.color} {CLASSES[class_index]}',
                dict(texture=drawn.texture, color=drawn.color),
                (x, y),
                radius,
                int((drawn.cover > 0.5).sum()),
                (width, across, down),
            )
        )
    ground = dict(ground_texture=ground_texture, ground_color=ground_color)
    return Scene(expose(rng, image), owners, tuple(objects), ground, f'{ground_texture} ground')
