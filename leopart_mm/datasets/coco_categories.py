"""The categories of COCO that belong to each super-category, and tables from category id to class."""

from collections.abc import Mapping, Sequence

import numpy as np

IGNORE = 255

# Sorted by name; the position is the class index (docs/methods/leopart.md §12).
THING_SUPERCATEGORIES = dict(
    accessory=(27, 28, 31, 32, 33),
    animal=tuple(range(16, 26)),
    appliance=(78, 79, 80, 81, 82),
    electronic=(72, 73, 74, 75, 76, 77),
    food=tuple(range(52, 62)),
    furniture=(62, 63, 64, 65, 67, 70),
    indoor=(84, 85, 86, 87, 88, 89, 90),
    kitchen=(44, 46, 47, 48, 49, 50, 51),
    outdoor=(10, 11, 13, 14, 15),
    person=(1, ),
    sports=tuple(range(34, 44)),
    vehicle=tuple(range(2, 10)),
)
STUFF_SUPERCATEGORIES = {
    'building': (95, 96, 128, 151, 158, 166),
    'ceiling': (102, 103),
    'floor': (101, 114, 115, 116, 117, 118),
    'food-stuff': (121, 122, 153, 170),
    'furniture-stuff': (98, 107, 108, 110, 112, 123, 130, 133, 156, 161, 165),
    'ground': (111, 125, 126, 136, 140, 144, 145, 147, 149, 154, 159),
    'plant': (94, 97, 119, 124, 129, 134, 142, 163, 169),
    'raw-material': (100, 132, 139, 143),
    'sky': (106, 157),
    'solid': (127, 135, 150, 160, 162, 182),
    'structural': (99, 113, 138, 146, 164),
    'textile': (92, 93, 104, 105, 109, 131, 137, 141, 152, 167, 168),
    'wall': (171, 172, 173, 174, 175, 176, 177),
    'water': (120, 148, 155, 178, 179),
    'window': (180, 181),
}


def class_of_category(groups: Mapping[str, Sequence[int]]) -> np.ndarray:
    """(256,) uint8: category id -> index of its group, 255 for every other id (things in stuff, 'other', void).

    >>> class_of_category(dict(person=(1, ), animal=(16, 17)))[[1, 17, 2]].tolist()
    [0, 1, 255]
    """
    table = np.full(256, IGNORE, np.uint8)
    for index, ids in enumerate(groups.values()):
        table[list(ids)] = index
    return table
