"""Tiny copies of Pascal VOC as it is unpacked: VOCdevkit/VOC2007 and VOC2012, with objects in XML files and maps."""

import numpy as np

from leopart_mm.files import write_image_whole, write_text_whole

BOXES = dict(dog=(2, 2, 12, 10), person=(14, 4, 22, 18))  # x1, y1, x2, y2 of pixels, the last ones left out
SIZE = 20, 24
XML = '''<annotation>
	<folder>{folder}</folder>
	<filename>{name}.jpg</filename>
	<size><width>24</width><height>20</height><depth>3</depth></size>
	<segmented>1</segmented>{objects}
</annotation>
'''
OBJECT = '''
	<object>
		<name>{name}</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>{difficult}</difficult>
		<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>
		<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>
	</object>'''


def write_voc(devkit):
    """Both years, a dog (difficult) and a person in every image; returns names by year."""
    years = dict(VOC2007=['000001', '000002', '000003'], VOC2012=['2007_000027', '2008_000002', '2008_000008'])
    objects = ''.join(OBJECT.format(name=name, difficult=int(name == 'dog'), x1=x1 + 1, y1=y1 + 1, x2=x2, y2=y2)
                      for name, (x1, y1, x2, y2) in BOXES.items())
    maps = dict(SegmentationClass=np.zeros(SIZE, np.uint8), SegmentationObject=np.zeros(SIZE, np.uint8))
    for number, (value, (x1, y1, x2, y2)) in enumerate(zip((12, 15), BOXES.values(), strict=True), 1):
        maps['SegmentationClass'][y1:y2, x1:x2], maps['SegmentationObject'][y1:y2, x1:x2] = value, number
    for year, names in years.items():
        root = devkit / year
        for name in names:
            write_image_whole(root / f'JPEGImages/{name}.jpg', np.full((*SIZE, 3), 99, np.uint8))
            write_text_whole(root / f'Annotations/{name}.xml', XML.format(folder=year, name=name, objects=objects))
        for folder, labels in maps.items():
            write_image_whole(root / folder / f'{names[0]}.png', labels)
        write_text_whole(root / 'ImageSets/Segmentation/trainval.txt', f'{names[0]}\n')
        first, second, third = names
        write_text_whole(root / 'ImageSets/Main/trainval.txt', f'{second}\n{first}\n')
        write_text_whole(root / 'ImageSets/Main/dog_trainval.txt', f'{second} -1\n{first}  1\n')
        write_text_whole(root / 'ImageSets/Main/test.txt', f'{third}\n')
    return years
