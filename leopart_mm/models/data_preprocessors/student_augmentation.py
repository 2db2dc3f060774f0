"""The student's copy of a batch in PriMaPs-EM, made on the device of the model."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from leopart_mm.datasets.transforms.student_photometric import NUM_DRAWS, augment_student, student_parameters
from leopart_mm.registry import MODELS


@MODELS.register_module()
class StudentAugmentation(nn.Module):
    """Blur of every image, and colour jitter or grey of a few, each with its own parameters (docs/methods/primaps.md
    §2.3).

    Geometry stays: pixels of student and teacher correspond one to one. What an image becomes depends on eight uniform
    numbers per image: from `DrawStudentAugmentation` in the pipeline, where they belong to the sample, so that the
    number of processes, workers and resumes changes nothing; without it, from torch's global generator of the CPU, one
    image after the other, on any device.

    Args:
        before_normalize: Change the images on the scale 0..1 and normalise again (default). False changes the
            normalised images (published): the jitter then clamps them to [0, 1], which destroys most of their range.
        brightness, contrast, saturation: Strength b in 0..1; the factor is uniform in 1 - b .. 1 + b.
        hue: Strength in 0..0.5; the shift is uniform in -hue .. hue of the colour circle.
        jitter_prob: Probability of the jitter, for the half of the images that a fair coin gives to it.
        grey_prob: Probability of grey, for the other half.
        sigma: Range of the standard deviation of the blur, in pixels.
        kernel_size: Taps of the blur along each axis, odd.

    Raises:
        ValueError: If an argument is out of its range; the message names it.
    """

    def __init__(self,
                 before_normalize: bool = True,
                 brightness: float = 0.1,
                 contrast: float = 0.1,
                 saturation: float = 0.1,
                 hue: float = 0.1,
                 jitter_prob: float = 0.3,
                 grey_prob: float = 0.1,
                 sigma: Sequence[float] = (0.1, 2.),
                 kernel_size: int = 21) -> None:
        super().__init__()
        for name, value, high in (('brightness', brightness, 1.), ('contrast', contrast, 1.),
                                  ('saturation', saturation, 1.), ('hue', hue, 0.5), ('jitter_prob', jitter_prob, 1.),
                                  ('grey_prob', grey_prob, 1.)):
            if not 0 <= value <= high:
                raise ValueError(f'StudentAugmentation: {name} must be in 0..{high:g}, not {value}.')
        if len(sigma) != 2 or not 0 <= sigma[0] <= sigma[1]:
            raise ValueError(f'StudentAugmentation: sigma must be (low, high), 0 <= low <= high, not {sigma}.')
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f'StudentAugmentation: kernel_size must be odd, not {kernel_size}.')
        self.before_normalize = before_normalize
        self.settings = dict(factors=(brightness, contrast, saturation), hue=hue, jitter_prob=jitter_prob,
                             grey_prob=grey_prob, sigma=tuple(sigma))
        self.kernel_size = kernel_size

    @torch.no_grad()
    def forward(self, inputs: Tensor, mean: Tensor | Sequence[float], std: Tensor | Sequence[float],
                draws: Tensor | None = None) -> Tensor:
        """The student's copy of a batch.

        Args:
            inputs: (B, C, H, W) normalised; they stay as they are.
            mean: C means on the scale 0..255, as the data preprocessor has them.
            std: C standard deviations on the same scale.
            draws: (B, 8) uniform in [0, 1); None draws them here.

        Returns:
            (B, C, H, W) float32, normalised.

        Raises:
            ValueError: If colours are to change in images that have not three channels, or images are too small for
                the reflection of the blur, or the number of draws is another.
        """
        self._check(inputs, draws)
        if draws is None:
            draws = torch.rand(len(inputs), NUM_DRAWS, dtype=torch.float64, device='cpu')
        parameters = student_parameters(draws, **self.settings)
        mean, std = (torch.as_tensor(values, dtype=torch.float32).to(inputs.device).reshape(-1, 1, 1) / 255
                     for values in (mean, std))
        images = torch.empty_like(inputs, dtype=torch.float32, memory_format=torch.contiguous_format)
        # one by one the images stay in a CPU's cache through all operations; a GPU is faster with them together
        chunk = 1 if inputs.device.type == 'cpu' else max(1, len(inputs))
        for part, source, rows in zip(images.split(chunk), inputs.split(chunk), parameters.split(chunk), strict=True):
            part.copy_(source)
            if self.before_normalize:
                part.mul_(std).add_(mean)
            augment_student(part, rows, self.kernel_size)
            if self.before_normalize:
                part.sub_(mean).div_(std)
        return images

    def _check(self, inputs: Tensor, draws: Tensor | None) -> None:
        settings = self.settings
        if inputs.shape[1] != 3 and (settings['jitter_prob'] or settings['grey_prob']):
            raise ValueError(f'StudentAugmentation: the images have {inputs.shape[1]} channels, but jitter and grey '
                             'need three: set jitter_prob=0 and grey_prob=0.')
        if min(inputs.shape[-2:]) <= self.kernel_size // 2:
            raise ValueError(f'StudentAugmentation: images of {inputs.shape[-2]} x {inputs.shape[-1]} pixels are too '
                             f'small for a blur of kernel_size={self.kernel_size}: take a smaller one.')
        if draws is not None and tuple(draws.shape) != (len(inputs), NUM_DRAWS):
            raise ValueError(f'StudentAugmentation: {len(inputs)} images need draws of {(len(inputs), NUM_DRAWS)}, not '
                             f'{tuple(draws.shape)}.')
