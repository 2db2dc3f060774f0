"""Building a timm VisionTransformer by name, with errors that say what to change."""

import difflib

import timm
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer


def build_timm_vit(arch: str, **kwargs) -> VisionTransformer:
    """Build `timm.create_model(arch)` without classifier and without weights.

    The pooling of the arch is switched off, so that the final norm is always called `norm` and precedes any pooling.

    Raises:
        ValueError: If the arch is unknown or no plain timm VisionTransformer, or does not take the arguments.
    """
    name = arch.partition('.')[0]
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models('*vit*') + timm.list_models('deit*'), 5, cutoff=0.3)
        raise ValueError(f"arch='{arch}' is no timm model. Close names: {', '.join(close)}. "
                         "`timm.list_models('vit*')` lists all.")
    kwargs = dict(num_classes=0, **kwargs)
    if 'distilled' not in name:  # these read two tokens, so they need their pooling
        kwargs.setdefault('global_pool', '')
    try:
        # Without its tag ('.dino'), which only names weights: timm releases differ in the tags that they know.
        vit = timm.create_model(name, pretrained=False, **kwargs)
    except (TypeError, AssertionError) as error:
        raise ValueError(f"timm could not build arch='{arch}' as a VisionTransformer with {kwargs} "
                         f'({type(error).__name__}: {error}). DenseViT takes plain ViTs (vit_*, deit_*); check arch '
                         'and model_kwargs.') from error
    if not isinstance(vit, VisionTransformer):
        raise ValueError(f"arch='{arch}' is a {type(vit).__name__}, not a timm VisionTransformer: DenseViT takes plain "
                         'ViTs (vit_*, deit_*).')
    _check_dense(arch, vit)
    return vit


def _check_dense(arch: str, vit: VisionTransformer) -> None:
    """Refuse what has no regular grid of patch tokens."""
    patch_size = vit.patch_embed.patch_size if type(vit.patch_embed) is PatchEmbed else None
    if patch_size is None:
        raise ValueError(f"arch='{arch}' embeds patches by {type(vit.patch_embed).__name__}; DenseViT needs timm's "
                         'plain PatchEmbed (one convolution).')
    if patch_size[0] != patch_size[1]:
        raise ValueError(f"arch='{arch}' has patches of {patch_size[0]}x{patch_size[1]}; DenseViT needs square ones.")
    if getattr(getattr(vit, 'patch_drop', None), 'prob', 0) > 0:
        raise ValueError('model_kwargs: patch_drop_rate > 0 removes patches, so no feature map is left; set it to 0.')
