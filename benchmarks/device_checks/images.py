"""Images on a device and on the CPU: augmentation, CRF, mask proposals."""

import torch

from benchmarks.device_checks import Comparison, device_check, unequal_share


@device_check('preprocessor')
def preprocessor(device: torch.device) -> list[Comparison]:
    """Crops with colour jitter, grey and blur, in grey levels (0..255): cut by workers, or by the device."""
    from benchmarks.multicrop import STD
    batch, module = _batch()
    expected = module(batch, True)['inputs']['crops']
    levels, found = torch.tensor(STD)[:, None, None], []
    for cut in (False, True):
        batch, module = _batch(device_crops=cut)
        crops = module.to(device)(batch, True)['inputs']['crops']
        differences = torch.cat([((crop.cpu() - other) * levels).abs().flatten()
                                 for crop, other in zip(crops, expected, strict=True)])
        by = 'cut by the device' if cut else 'cut by workers'
        found += [Comparison(f'crops {by}, mean of the differences, grey levels', float(differences.mean()), 1.),
                  Comparison(f'crops {by}, share of values that differ by more than 4 grey levels',
                             float((differences > 4).double().mean()), 1e-2)]
    return found


def _batch(device_crops: bool = False) -> tuple[dict, torch.nn.Module]:
    """A batch of 8 images from the workers, the same draws each time, and the data preprocessor."""
    import numpy as np

    from benchmarks.multicrop import build_ours
    from benchmarks.textures import textured_image
    from leopart_mm.datasets import multi_crop_collate
    steps, module = build_ours(device_crops)
    np.random.seed(0)
    generator, samples = torch.Generator().manual_seed(0), []
    for _ in range(8):
        sample = dict(img=textured_image(generator))
        for step in steps:
            sample = step(sample)
        samples.append(sample)
    return multi_crop_collate(samples), module


@device_check('CRF')
def crf(device: torch.device) -> list[Comparison]:
    """Labels and marginals of an image of 160 x 160 pixels, 9 labels."""
    from benchmarks.crf import photographs
    from leopart_mm.masks.crf import dense_crf
    log_probs = (3 * torch.randn(9, 20, 20, generator=torch.Generator().manual_seed(0))).log_softmax(0)
    image = torch.from_numpy(photographs(160, 1)[0])
    expected = dense_crf(log_probs, image)
    found = dense_crf(log_probs.to(device), image.to(device))
    return [Comparison('marginals, mean of the differences', float((found.cpu() - expected).abs().mean()), 1e-3),
            Comparison('labels, share that differs', unequal_share(found.argmax(0), expected.argmax(0)), 1e-3)]


@device_check("PriMaPs' masks")
def principal(device: torch.device) -> list[Comparison]:
    """Masks of 4 images of 20 x 20 cells with 64 channels, from the same directions; and the first direction."""
    from benchmarks.primaps import THRESHOLD, scenes
    from leopart_mm.masks.principal import PrincipalSettings, principal_masks
    features, settings = scenes(4, 64, 20), PrincipalSettings(THRESHOLD)
    expected = principal_masks(features, settings)
    free = principal_masks(features.to(device), settings)
    cosines = [torch.nn.functional.cosine_similarity(a.directions[0].cpu().double(), b.directions[0].double(), dim=0)
               for a, b in zip(free, expected, strict=True)]
    found = principal_masks(features.to(device), settings, [masks.directions.to(device) for masks in expected])
    shares = [unequal_share(a.soft_masks > 0, b.soft_masks > 0) if len(a.soft_masks) == len(b.soft_masks) else 1.
              for a, b in zip(found, expected, strict=True)]
    angle = max(float(1 - cosine.abs()) for cosine in cosines)
    return [Comparison('first direction, 1 - absolute cosine', angle, 1e-6),
            Comparison('masks, share of cells that differ', max(shares), 1e-3)]
