"""Segments as pre-annotations of Label Studio: brush masks, and the interface that shows them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from leopart_mm.exports.job import ExportJob
from leopart_mm.exports.segmented_folder import SegmentedImage
from leopart_mm.exports.segments import Segments
from leopart_mm.files import write_text_whole, write_whole

LOCAL_FILES = '/data/local-files/?d='
WORD_BITS, COUNT_BITS = 8, (3, 4, 8, 16)
CHANNELS = 4  # the editor keeps RGBA
INSIDE = 255


def export_label_studio(job: ExportJob, folder: Path) -> None:
    """Write ``label_studio/tasks.json``, to be imported, and ``label_studio/interface.xml``, the labelling interface.

    The tasks name images as Label Studio's local storage does: the folder of the images has to be
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.

    Raises:
        OSError: If a file cannot be written.
    """
    tasks, interface = folder / 'label_studio' / 'tasks.json', folder / 'label_studio' / 'interface.xml'
    write_text_whole(interface, labelling_interface(job))
    with write_whole(tasks) as temporary, open(temporary, 'w', encoding='utf-8') as stream:
        stream.write('[')
        for number, (image, segments) in enumerate(job.segments('for Label Studio', rows=True)):
            stream.write(',\n' if number else '\n')
            json.dump(_task(job, image, segments), stream)
        stream.write('\n]\n')


def labelling_interface(job: ExportJob) -> str:
    """The interface with a brush per category."""
    labels = '\n'.join(f'    <Label value={quoteattr(category.name)} background="{category.hex_colour}"/>'
                       for category in job.categories.entries)
    return ('<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="label" toName="image">\n{labels}\n  </BrushLabels>\n</View>\n')


def _task(job: ExportJob, image: SegmentedImage, segments: Segments) -> dict[str, Any]:
    name = job.folder.file_name(image).encode('utf-8', 'surrogateescape')
    return dict(data=dict(image=LOCAL_FILES + quote(name)),
                predictions=[dict(model_version='leopart_mm', result=list(_results(job, segments)))])


def _results(job: ExportJob, segments: Segments) -> Iterator[dict[str, Any]]:
    width, height = segments.size  # runs along rows
    for index in range(len(segments)):
        name = job.categories.entries[int(segments.categories[index])].name
        counts = segments.joined_runs(index)
        rest = width * height - int(counts.sum())
        rle = pack_brush(np.append(counts, rest) if rest else counts)
        yield dict(id=f's{index}', type='brushlabels', from_name='label', to_name='image', original_width=width,
                   original_height=height, image_rotation=0,
                   value=dict(format='rle', rle=rle, brushlabels=[name]))


def pack_brush(counts: np.ndarray) -> list[int]:
    """Run lengths of a mask as the bytes of Label Studio's brush (the format of the npm package @thi.ng/rle-pack).

    A head of 53 bits says the number of values, bits per value, and bits per length of four kinds of runs. A run is 1,
    two bits for its kind, its length minus 1, and its value.

    Args:
        counts: Pixels outside and inside in turn, beginning outside, row after row, to the end of the image. Each
            pixel is `CHANNELS` equal values.
    """
    head = [(int(counts.sum()) * CHANNELS, 32), (WORD_BITS - 1, 5), *((bits - 1, 4) for bits in COUNT_BITS)]
    text = [f'{value:0{bits}b}' for value, bits in head]
    for number, count in enumerate(counts.tolist()):
        left, value = count * CHANNELS, f'{INSIDE * (number % 2):0{WORD_BITS}b}'
        while left:
            run = min(left, 2**COUNT_BITS[-1])
            kind = next(kind for kind, bits in enumerate(COUNT_BITS) if run <= 2**bits)
            text.append(f'1{kind:02b}{run - 1:0{COUNT_BITS[kind]}b}{value}')
            left -= run
    bits = ''.join(text)
    return list(int(bits.ljust(-(-len(bits) // 8) * 8, '0'), 2).to_bytes(-(-len(bits) // 8), 'big'))
