"""The objects of a COCO annotation file: what can be mended, and what no training should start with."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from mmimg2vec.datasets.annotations.masks import (
    mask_problem,
    polygon_area,
    polygon_extent,
    rle_box_and_area,
    usable_polygons,
)
from mmimg2vec.errors import UserError

# Share of degenerate objects up to which a file is accepted.
_ACCEPTED = 0.01
# Boxes that reach further out of their image, in pixels, are counted; rounding makes less of it.
_SLACK = 2.0
# Compressed run lengths that are decoded, evenly spread: it takes a millisecond where an image is large.
_DECODED = 4000


class Objects:
    """The list ``annotations`` of a file.

    Args:
        content: The file's content; annotations are changed in place.
        path: The file, for messages.
        masks: Masks are trained or scored.
    """

    def __init__(self, content: dict[str, Any], path: Path, masks: bool) -> None:
        self.path, self.masks = path, masks
        self.all = content['annotations']
        self.images = {image['id']: image for image in content['images']}
        self.categories = {category['id']: category['name'] for category in content['categories']}

    def mend(self) -> list[str]:
        """Add what follows from the rest: ids, ``iscrowd``, boxes of masks, areas. Returns what was mended.

        Raises:
            UserError: Something does not follow.
        """
        self._check_types()
        done: Counter[str] = Counter()
        self._mend_ids(done)
        for annotation in self.all:
            polygons = annotation.get('segmentation')
            if annotation.get('iscrowd') is None:
                annotation['iscrowd'] = 0
                done['without iscrowd, set to 0'] += 1
            if isinstance(polygons, list) and polygons:
                good = usable_polygons(polygons)
                if good and len(good) < len(polygons):
                    annotation['segmentation'] = good
                    done['with parts that are no polygons, left out'] += 1
            if annotation.get('bbox') is None:
                self._add_box(annotation)
                done['without box, taken from the mask'] += 1
            if annotation.get('area') is None:
                annotation['area'] = self._area(annotation)
                done['without area, taken from mask or box'] += 1
        return [f'{count} objects {what}' for what, count in done.items()]

    def check(self) -> list[str]:
        """Check categories, images, boxes, masks and areas. Returns what is left out in training.

        Raises:
            UserError: There is a mistake.
        """
        self._check_references()
        if all(annotation['iscrowd'] or annotation.get('ignore') for annotation in self.all):
            raise UserError(
                f'all {len(self.all)} objects of {self.path} are marked iscrowd: 1 or ignore: none is trained on or '
                'scored; set iscrowd to 0 for single objects'
            )
        if self.masks:
            self._check_masks()
        self._check_corners()
        return self._check_extents()

    def _check_types(self) -> None:
        for annotation in self.all:
            name = f'{self.path}: annotation {annotation.get("id")}'
            for key in ('image_id', 'category_id'):
                if not isinstance(annotation.get(key), (int, str)):
                    raise UserError(f'{name} has {annotation.get(key)!r} as "{key}": write the id')
            box = annotation.get('bbox')
            if box is not None and (not isinstance(box, list) or len(box) != 4):
                raise UserError(f'{name} has the box {str(box)[:60]}: write [x, y, width, height]')
            values = [('bbox', number) for number in box or ()]
            values += [(key, annotation[key]) for key in ('area', 'iscrowd') if annotation.get(key) is not None]
            for key, value in values:
                if not isinstance(value, (int, float)) or not math.isfinite(value):
                    raise UserError(f'{name} has {value!r} in "{key}": write numbers, without quotes')

    def _mend_ids(self, done: Counter[str]) -> None:
        ids = Counter(annotation['id'] for annotation in self.all if annotation.get('id') is not None)
        double = next((number for number, count in ids.items() if count > 1), None)
        if double is not None:
            others = sum(count > 1 for count in ids.values()) - 1
            raise UserError(
                f'{self.path} has {ids[double]} annotations of the id {double!r}'
                + (f' (and {others} more such ids)' if others else '')
                + ': give each its own'
            )
        # pycocotools takes the object of id 0 for one that was not found, and keeps the ids as numbers.
        top = max((number for number in ids if isinstance(number, int)), default=0)
        for annotation in self.all:
            number = annotation.get('id')
            if not isinstance(number, int) or isinstance(number, bool) or number == 0:
                top += 1
                annotation['id'] = top
                done['without id, of id 0 or of one that is no whole number, numbered anew'] += 1

    def _add_box(self, annotation: dict) -> None:
        segmentation = annotation.get('segmentation')
        if mask_problem(segmentation, None, None) is not None:
            raise UserError(f'{self.path}: annotation {annotation["id"]} has neither box nor mask: add "bbox"')
        if isinstance(segmentation, dict):
            annotation['bbox'] = rle_box_and_area(segmentation)[0]
        else:
            x1, y1, x2, y2 = polygon_extent(usable_polygons(segmentation or []))
            annotation['bbox'] = [x1, y1, x2 - x1, y2 - y1]

    def _area(self, annotation: dict) -> float:
        segmentation = annotation.get('segmentation')
        if mask_problem(segmentation, None, None) is not None:
            return float(annotation['bbox'][2] * annotation['bbox'][3])
        if isinstance(segmentation, dict):
            return rle_box_and_area(segmentation)[1]
        return polygon_area(usable_polygons(segmentation or []))

    def _check_references(self) -> None:
        listed, used = set(self.categories), Counter(annotation['category_id'] for annotation in self.all)
        strange = {number: count for number, count in used.items() if number not in listed}
        if strange:
            raise UserError(self._strange_categories(strange, set(used)))
        lost = [annotation for annotation in self.all if annotation['image_id'] not in self.images]
        if len(lost) > _ACCEPTED * len(self.all):
            some = ', '.join(repr(number) for number in list(self.images)[:3])
            raise UserError(
                f'{len(lost)} of {len(self.all)} annotations of {self.path} belong to images that it does not list '
                f'(first: annotation {lost[0]["id"]}, image_id {lost[0]["image_id"]!r}; listed: {some} ...): correct '
                'image_id, numbers as numbers, or add the images'
            )

    def _strange_categories(self, strange: dict[Any, int], used: set) -> str:
        listed = list(self.categories)
        text = (
            f'{sum(strange.values())} of {len(self.all)} annotations of {self.path} have a category_id that is not in '
            f'"categories" (first: {next(iter(strange))!r}; listed: {", ".join(map(repr, listed[:5]))} ...): '
        )
        if {str(number) for number in strange} <= {str(number) for number in listed}:
            return f'{text}one of them is text, the other a number; write both as numbers'
        if all(isinstance(number, int) for number in [*used, *listed]):
            for shift in (1, -1):
                if {number + shift for number in used} <= set(listed):
                    return f'{text}all are off by one; {"add 1 to" if shift == 1 else "take 1 from"} each category_id'
        return f'{text}correct them, or add the categories'

    def _check_masks(self) -> None:
        problems: dict[str, list] = {}
        every = len(self.all) // _DECODED + 1
        for number, annotation in enumerate(self.all):
            image = self.images.get(annotation['image_id'], {})
            size = (image.get('height'), image.get('width'))
            problem = mask_problem(annotation.get('segmentation'), *size, decode=number % every == 0)
            if problem is not None:
                problems.setdefault(problem, []).append(annotation['id'])
        if not problems:
            return
        problem, ids = max(problems.items(), key=lambda item: len(item[1]))
        total = sum(len(found) for found in problems.values())
        raise UserError(
            f'{total} of {len(self.all)} objects of {self.path} have no usable mask (annotation {ids[0]}: {problem}), '
            'and the config trains or scores masks: add the masks, or take a config for boxes alone (without '
            'with_mask, mask_head and the metric segm)'
        )

    def _check_corners(self) -> None:
        """Boxes that are written in another way fit into their images when they are read in that way.

        Raises:
            UserError: They are.
        """
        boxes = [(a, self.images[a['image_id']]) for a in self.all if a['image_id'] in self.images]
        if boxes and all(max(a['bbox']) <= 1.5 for a, _ in boxes):
            raise UserError(
                f'all boxes of {self.path} are between 0 and 1 (annotation {boxes[0][0]["id"]}: '
                f'{boxes[0][0]["bbox"]}): multiply them by width and height of their image; COCO has pixels'
            )
        out = [a for a, image in boxes if _reaches_out(a['bbox'], image)]
        if len(out) <= 0.1 * len(boxes):
            return
        corners = all(
            x1 < x2 <= image['width'] + _SLACK and y1 < y2 <= image['height'] + _SLACK
            for (x1, y1, x2, y2), image in ((a['bbox'], image) for a, image in boxes)
        )
        how = (
            'read as x1, y1, x2, y2 all of them fit: write [x, y, width, height]'
            if corners
            else 'they belong to other images, or to images of another size: correct them'
        )
        raise UserError(
            f'{len(out)} of {len(boxes)} boxes of {self.path} reach out of their image (annotation {out[0]["id"]}: '
            f'{out[0]["bbox"]}): {how}'
        )

    def _check_extents(self) -> list[str]:
        found: dict[str, list] = {}
        for annotation in self.all:
            problem = self._degenerate(annotation)
            if problem is not None:
                found.setdefault(problem, []).append(annotation)
        total = sum(map(len, found.values()))
        listed = [
            f'{len(some)} {problem} (annotation {some[0]["id"]}: {some[0]["bbox"]})' for problem, some in found.items()
        ]
        if total > _ACCEPTED * len(self.all):
            raise UserError(
                f'{total} of {len(self.all)} objects of {self.path} cannot be trained on: {", ".join(listed)}; mend or '
                'remove them (up to 1 % are left out)'
            )
        return [f'{text}, left out' for text in listed]

    def _degenerate(self, annotation: dict) -> str | None:
        x, y, width, height = annotation['bbox']
        image = self.images.get(annotation['image_id'])
        if image is None:
            return 'of images that the file does not list'
        if width < 0 or height < 0:
            return 'boxes of negative width or height, which is no [x, y, width, height]'
        if width == 0 or height == 0:
            return 'boxes without extent'
        if x >= image['width'] or y >= image['height'] or x + width <= 0 or y + height <= 0:
            return 'boxes outside their image'
        if annotation['area'] <= 0:
            return 'of area 0'
        polygons = annotation.get('segmentation')
        if not self.masks or not isinstance(polygons, list):
            return None
        if polygon_area(polygons) == 0:
            return 'flat polygons'
        x1, y1, x2, y2 = polygon_extent(polygons)
        return 'masks outside their box' if x1 > x + width or y1 > y + height or x2 < x or y2 < y else None


def _reaches_out(box: list[float], image: dict) -> bool:
    x, y, width, height = box
    return min(x, y) < -_SLACK or x + width > image['width'] + _SLACK or y + height > image['height'] + _SLACK
