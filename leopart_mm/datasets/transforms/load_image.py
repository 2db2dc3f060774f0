"""The loading step of training pipelines over folders of pictures of any kind."""

from mmcv.transforms import BaseTransform

from leopart_mm.datasets.image_reading import read_image
from leopart_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read ``results['img_path']`` as three 8-bit channels, whatever the file holds (`read_image`).

    Our data sets also read with it where a pipeline says ``LoadImageFromFile``, a name that MMSegInferencer looks for.

    Images of more than 8 bits are scaled by the ``value_range`` of their data set, which is in the sample.

    Adds ``img`` ((H, W, 3) uint8), ``img_shape`` and ``ori_shape`` ((H, W)).

    Args:
        channel_order: ``'bgr'`` as mmcv loads images (default) or ``'rgb'``.

    Raises:
        ImageReadError: If the file is missing, empty, damaged or no image.
    """

    def __init__(self, channel_order: str = 'bgr') -> None:
        self.channel_order = channel_order

    def transform(self, results: dict) -> dict:
        """Add the image to the results."""
        image = read_image(results['img_path'], self.channel_order, results.get('value_range'), results.get('nodata'))
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(channel_order={self.channel_order!r})'
