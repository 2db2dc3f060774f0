"""Golden checks of crop geometry."""

import re

import numpy as np

from leopart_mm.geometry.crop_boxes import crop_boxes
from tests.golden.cases import golden_case


@golden_case('leopart', 'crop_boxes')
def check_crop_boxes(arrays):
    cases = sorted({re.match(r'(.+)_absolute$', key)[1] for key in arrays if key.endswith('_absolute')})
    assert cases
    for case in cases:
        gc_boxes, all_boxes = crop_boxes(arrays[f'{case}_absolute'], arrays[f'{case}_sizes'], arrays[f'{case}_counts'])
        np.testing.assert_allclose(gc_boxes, arrays[f'{case}_gc'], rtol=0, atol=1e-4, err_msg=case)
        np.testing.assert_allclose(all_boxes, arrays[f'{case}_all'], rtol=0, atol=1e-4, err_msg=case)
