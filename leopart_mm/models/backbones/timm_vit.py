"""Building a ViT of timm by name, with errors that say what to change."""

import difflib
from functools import lru_cache

import timm
import torch
from timm.layers import AttentionPoolLatent, PatchEmbed
from timm.models import is_model_in_modules
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

VITS = (VisionTransformer, Eva)
PLAIN = 'DenseViT takes plain ViTs (vit_*, deit_*, eva*)'


def build_timm_vit(arch: str, **kwargs) -> VisionTransformer | Eva:
    """Build `timm.create_model(arch)` without classifier and without weights.

    The pooling of the arch is switched off, so that the final norm is always called `norm` and precedes any pooling. A
    network without class token keeps the head that pools its patches by attention, if it has one.

    Raises:
        ValueError: If the arch is unknown or no plain timm VisionTransformer or Eva, or does not take the arguments.
    """
    name = arch.partition('.')[0]
    if not timm.is_model(name):
        known = [model for names in ('*vit*', 'deit*', 'eva*') for model in timm.list_models(names)]
        close = difflib.get_close_matches(name, known, 5, cutoff=0.3)
        raise ValueError(f"arch='{arch}' is no timm model. Close names: {', '.join(close)}. "
                         "`timm.list_models('vit*')` lists all.")
    kwargs = dict(num_classes=0, **kwargs)
    if is_model_in_modules(name, {'eva'}):
        kwargs['dynamic_img_size'] = True  # or rotary positions are kept for one size
    if 'distilled' not in name:  # these read two tokens, so they need their pooling
        kwargs.setdefault('global_pool', 'map' if _only_pools_by_attention(name) else '')
    try:
        # Without its tag ('.dino'), which only names weights: timm releases differ in the tags that they know.
        vit = timm.create_model(name, pretrained=False, **kwargs)
    except (TypeError, AssertionError) as error:
        raise ValueError(f"timm could not build arch='{arch}' as a VisionTransformer with {kwargs} "
                         f'({type(error).__name__}: {error}). {PLAIN}; check arch and model_kwargs.') from error
    if not isinstance(vit, VITS):
        raise ValueError(f"arch='{arch}' is a {type(vit).__name__}, not a timm VisionTransformer or Eva: {PLAIN}.")
    _check_dense(arch, vit)
    return vit


@lru_cache(maxsize=64)
def _only_pools_by_attention(name: str) -> bool:
    """Whether the arch has no class token and a head that pools its patches by attention (SigLIP)."""
    with torch.device('meta'):
        try:
            vit = timm.create_model(name, pretrained=False, num_classes=0)
        except Exception:  # what cannot be built says so where it is built
            return False
    return (isinstance(vit, VITS) and vit.cls_token is None
            and isinstance(getattr(vit, 'attn_pool', None), AttentionPoolLatent))


def _check_dense(arch: str, vit: VisionTransformer | Eva) -> None:
    """Refuse what has no regular grid of patch tokens."""
    patch_size = vit.patch_embed.patch_size if type(vit.patch_embed) is PatchEmbed else None
    if patch_size is None:
        raise ValueError(f"arch='{arch}' embeds patches by {type(vit.patch_embed).__name__}; DenseViT needs timm's "
                         'plain PatchEmbed (one convolution).')
    if patch_size[0] != patch_size[1]:
        raise ValueError(f"arch='{arch}' has patches of {patch_size[0]}x{patch_size[1]}; DenseViT needs square ones.")
    if getattr(getattr(vit, 'patch_drop', None), 'prob', 0) > 0:
        raise ValueError('model_kwargs: patch_drop_rate > 0 removes patches, so no feature map is left; set it to 0.')
