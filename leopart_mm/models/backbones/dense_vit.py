"""DenseViT: any timm VisionTransformer or Eva as a dense-feature backbone."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from leopart_mm.checkpoints.code_heads import KEYS, TOKENS
from leopart_mm.checkpoints.matching import LoadReport, NetworkSpec
from leopart_mm.checkpoints.sources import is_remote
from leopart_mm.checkpoints.token_positions import PREFIX_TOKENS
from leopart_mm.models.backbones.attention_outputs import (
    CLASS_ATTENTION,
    CLASS_QUERY,
    QKV,
    attention_outputs,
    require_class_token,
)
from leopart_mm.models.backbones.facts import folder_arch, named_weights, position_mode, weights_arch, weights_colours
from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.backbones.freezing import FreezableBlocks
from leopart_mm.models.backbones.image_size import check_size_mode, fit_to_patches
from leopart_mm.models.backbones.joint_sizes import JointSizes
from leopart_mm.models.backbones.layer_depth import NO_WEIGHT_DECAY, layer_depth
from leopart_mm.models.backbones.low_rank import plain_shapes
from leopart_mm.models.backbones.position import block_rotations, check_position_mode, resize_positions
from leopart_mm.models.backbones.pretrained import PretrainedBackbone
from leopart_mm.models.backbones.qkv import block_qkv, pooling_attention
from leopart_mm.models.backbones.timm_vit import build_timm_vit
from leopart_mm.registry import MODELS

DEFAULT_ARCH, DEFAULT_POSITIONS = 'vit_small_patch16_224', 'dino'
FINAL_NORM_MODES = (True, False, 'last')
FEATURE_MODES = (TOKENS, KEYS)


@MODELS.register_module()
class DenseViT(PretrainedBackbone, FreezableBlocks, JointSizes, BaseModule):
    """A ViT of timm that gives normalised patch maps, attention, queries, keys and values.

    It takes timm's VisionTransformer (DINO, DINOv2, MAE, CLIP, SigLIP) and Eva (DINOv3, EVA-02, Perception Encoder,
    RoPE-ViT); docs/backbones.md lists what was checked. Parameters carry timm's own names (`cls_token`,
    `blocks.0.attn.qkv.weight`, ...), so a plain timm state dict loads into it and its own loads into timm. Images may
    have any size; position embeddings are resized to their grid, rotary positions computed for it.

    A network without class token (SigLIP) gives as class-token attention that of its pooling head, where it has one
    (`attn_pool`). No loss reaches this head, so it is never trained.

    Args:
        arch: A timm model name, such as 'vit_small_patch16_224' or 'vit_small_patch16_dinov3'. A weights tag ('.dino')
            does not change the network; it tells `mean` and `std`. Default: the arch that `checkpoint` names, if it is
            on a hub or a folder of transformers, else 'vit_small_patch16_224'.
        model_kwargs: Further arguments for timm, e.g. dict(img_size=64, depth=4). `img_size` decides the stored
            position grid until a checkpoint with another grid is loaded: then the checkpoint's grid is taken.
        checkpoint: Pretrained weights: a file (DINO, DINOv2, DINOv3, MAE, MoCo-v3, DeiT, timm, MMPretrain, mmseg,
            Leopart, NeCo, our own), a folder of transformers (ViT, DINOv2, DINOv3), 'timm://NAME[.TAG]' (timm's own,
            downloaded; 'timm://' alone: those of `arch`), 'hf-hub:OWNER/NAME' or a URL. They are read by
            `init_weights()`, which MMEngine's Runner calls before training.
        checkpoint_key: Which network of the file: None (the published choice), 'student', 'teacher', or the prefix of
            its keys; see `find_network`.
        drop_registers: Load a checkpoint with register tokens into an arch without them (NeCo's "XR" models).
        out_indices: Blocks whose output is returned by `forward`; negative numbers count from the end.
        final_norm: True: the network's final norm on every map (what DINO and timm do for intermediate layers); 'last':
            only on the map of the last block; False: nowhere.
        features: What the maps hold: 'tokens', the output of a block, or 'keys', those of its attention with the heads
            side by side, without any norm (STEGO's feature type "KK", docs/methods/primaps.md §13).
        pos_interp: 'dino' or 'timm', see `resize_positions`. None: what the weights were trained with, where
            `checkpoint` or `arch` names weights of timm or an Eva, else 'dino'.
        size_mode: 'pad' (default), 'resize' or 'drop', see `fit_to_patches`. With 'pad' and 'resize' a map has
            ceil(H/p) x ceil(W/p) cells, with 'drop' floor.
        drop_path_rate: Stochastic depth of the last block; the rate grows linearly over depth from 0.
        drop_path_mode: 'mask': a residual branch is computed for all images and dropped of some; 'samples': it is
            computed for the images that keep it alone, as in DINOv2, which saves their time. Both draw at random, each
            in its own way; see `draws_of_blocks`.
        frozen_stages: -1: nothing; 0: patch, position and prefix embeddings; n: also the first n blocks; the number of
            blocks: also the final norm. Frozen parts get no gradient and stay in evaluation mode.
        trainable_blocks: None: everything that `frozen_stages` leaves. An integer q: blocks[q:] alone (-1: the last
            one). A list: these blocks alone. Embeddings and final norm are then frozen (docs/methods/neco.md §6.2).
        trainable: 'all', 'last_N' (the last N blocks, which is trainable_blocks=-N), or 'lora', 'lora_RANK',
            'lora_RANK_ALPHA': low-rank adapters alone, on queries, keys, values and MLP of the blocks that
            `frozen_stages` or `trainable_blocks` leave; see `Trainable`.
        with_cp: Recompute blocks in the backward pass to save memory.
        joint_sizes: Whether `forward_sizes` takes images of several sizes through norms, projections and MLPs together;
            False: one size after the other. The result is the same.
        compiled: Whether `torch.compile` compiles the blocks, or its arguments, such as dict(mode='max-autotune').
            Names in checkpoints stay. Each set of image sizes costs a compilation at its first step.
        rotary_qkv: For rotary archs: whether queries and keys (those of `forward_dense` and the maps of
            ``features='keys'``) come rotated by their position, as the attention compares them, or as they are
            projected (default): then they tell what a patch holds and not where it lies. The attention of the class
            token is always that of the network.
        class_position: For register archs, whose positions in timm are those of the patches only: give the class token
            one too, as DINOv2 has it. The network computes the same, but position and token are trained as two.
        in_chans: Number of image bands. Weights of another number of bands are adapted as timm does.
        init_cfg: MMEngine's initialisation config. dict(type='Pretrained', checkpoint=FILE) works too.

    Attributes: `embed_dims`, `patch_size`, `num_heads`, `num_layers`, `num_prefix_tokens`, `grid_size` (the stored
    position grid: rows, columns), and `mean` and `std`, the RGB colour statistics (0..255) with which the weights were
    trained, None if `checkpoint` and `arch` do not tell.

    Raises:
        ValueError: If `arch` is no plain ViT, or an option is out of its range; the message lists what is allowed.
    """

    def __init__(self,
                 arch: str | None = None,
                 model_kwargs: dict | None = None,
                 checkpoint: str | None = None,
                 checkpoint_key: str | None = None,
                 drop_registers: bool = False,
                 out_indices: int | Sequence[int] = (-1, ),
                 final_norm: bool | str = True,
                 pos_interp: str | None = None,
                 size_mode: str = 'pad',
                 drop_path_rate: float = 0.,
                 frozen_stages: int = -1,
                 trainable_blocks: int | Sequence[int] | None = None,
                 trainable: str = 'all',
                 drop_path_mode: str = 'mask',
                 with_cp: bool = False,
                 joint_sizes: bool = True,
                 compiled: bool | dict = False,
                 rotary_qkv: bool = False,
                 class_position: bool = False,
                 features: str = TOKENS,
                 in_chans: int = 3,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        check_position_mode(pos_interp or DEFAULT_POSITIONS)
        check_size_mode(size_mode)
        if final_norm not in FINAL_NORM_MODES:
            raise ValueError(f"final_norm={final_norm!r} is unknown. Allowed: True, False, 'last'.")
        if features not in FEATURE_MODES:
            raise ValueError(f'features={features!r} is unknown. Allowed: {", ".join(map(repr, FEATURE_MODES))}.')
        known = weights_arch if is_remote(checkpoint or '') else folder_arch
        self.arch: str = arch or (known(checkpoint) if checkpoint else None) or DEFAULT_ARCH
        vit = build_timm_vit(self.arch, in_chans=in_chans, drop_path_rate=drop_path_rate, **model_kwargs or {})
        weights = named_weights(checkpoint, self.arch)
        self.mean, self.std = weights_colours(checkpoint, weights)
        self.pos_interp = pos_interp or position_mode(weights) or DEFAULT_POSITIONS
        self.size_mode = size_mode
        self.final_norm = final_norm
        self.features = features
        self.rotary_qkv = rotary_qkv
        self.drop_registers = drop_registers
        self.expect_weights(checkpoint, checkpoint_key)
        self._adopt(vit, class_position)
        self.set_block_options(joint_sizes and features == TOKENS, compiled, drop_path_mode, with_cp)
        self.out_indices = self.check_blocks([out_indices] if isinstance(out_indices, int) else out_indices)
        self.freeze(frozen_stages, trainable_blocks, trainable)

    def _adopt(self, vit: nn.Module, class_position: bool) -> None:
        """Take over timm's parameters and modules under their own names; the classifier is left behind."""
        for name in (*PREFIX_TOKENS, 'pos_embed'):
            self.register_parameter(name, getattr(vit, name, None))
        for name in ('patch_embed', 'pos_drop', 'norm_pre', 'blocks', 'norm', 'rope', 'attn_pool'):
            self.add_module(name, getattr(vit, name, None))
        self.embed_dims: int = vit.embed_dim
        self.patch_size: int = vit.patch_embed.patch_size[0]
        self.num_layers: int = len(vit.blocks)
        self.num_heads: int = next(m.num_heads for m in vit.blocks[0].modules() if hasattr(m, 'num_heads'))
        self.num_prefix_tokens: int = vit.num_prefix_tokens
        self.num_unpooled: int = 0 if getattr(vit, 'pool_include_prefix', True) else vit.num_prefix_tokens
        self.grid_size: tuple[int, int] = tuple(vit.patch_embed.grid_size)
        # timm has two conventions: positions for the prefix tokens too, or for the patches only.
        self.num_prefix_positions: int = 0 if vit.no_embed_class else vit.num_prefix_tokens
        if class_position and self.num_prefix_positions == 0 and None not in (self.cls_token, self.pos_embed):
            self.num_prefix_positions = 1
            self.pos_embed = nn.Parameter(torch.cat([torch.zeros_like(self.cls_token), self.pos_embed], dim=1).detach())

    @property
    def network_spec(self) -> NetworkSpec:
        """What this network needs of a checkpoint."""
        grid = None if self.pos_embed is None else self.grid_size
        return NetworkSpec(self.arch, plain_shapes(self), grid=grid, num_prefix_positions=self.num_prefix_positions,
                           drop_registers=self.drop_registers, num_heads=self.num_heads)

    def _adopt_state(self, state: dict[str, Tensor], report: LoadReport) -> dict[str, Tensor]:
        """Take over the position grid of the checkpoint; the parameter object stays, so optimisers keep it."""
        if report.grid is not None and report.grid != self.grid_size:
            self.grid_size = report.grid
            self.pos_embed.data = self.pos_embed.data.new_empty(state['pos_embed'].shape)
        return super()._adopt_state(state, report)

    def stem_modules(self) -> list[nn.Module]:
        """Modules before the blocks."""
        return [self.patch_embed, self.pos_drop, self.norm_pre, *filter(None, [self.rope])]

    def stem_parameters(self) -> list[nn.Parameter]:
        """Prefix tokens and position embeddings."""
        return [value for name in (*PREFIX_TOKENS, 'pos_embed') if (value := getattr(self, name)) is not None]

    def unused_modules(self) -> list[nn.Module]:
        """Modules that no map depends on."""
        return [] if self.attn_pool is None else [self.attn_pool]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Image (B, in_chans, H, W), normalised, to one map (B, C, h, w) per entry of `out_indices`.

        Blocks after the last requested one are not run.
        """
        tokens, grid, ropes = self._embed(image)
        outputs = {}
        for index in range(max(self.out_indices) + 1):
            tokens = self._pass(index, tokens, grid, ropes[index], outputs if index in self.out_indices else None)
        return tuple(outputs[index] for index in self.out_indices)

    def forward_dense(self,
                      image: Tensor,
                      out_indices: Sequence[int] | None = None,
                      cls_attention: bool = False,
                      qkv_block: int | None = None,
                      class_query_block: int | None = None) -> DenseFeatures:
        """Maps, class token and, on request, attention of the last block and q, k, v of a chosen block.

        Args:
            image: (B, in_chans, H, W), normalised.
            out_indices: Blocks whose maps are returned; None takes those of the constructor. () gives no map, no class
                token, and runs nothing behind what else is asked for.
            cls_attention: Whether to compute the attention of the class token in the last block, or of the pooling head
                of a network without one. Only this one row is computed, beside the network's fused attention.
            qkv_block: Block whose queries, keys and values are returned; may be negative.
            class_query_block: Block whose query of the class token and whose keys (`class_q` and `token_k`) are
                returned, without the other queries and the values; may be negative.

        Raises:
            ValueError: If an index is out of range, or something of the class token is asked of a network without one.
        """
        indices = self.out_indices if out_indices is None else out_indices and self.check_blocks(out_indices)
        pools = cls_attention and self.attn_pool is not None
        asked = {CLASS_ATTENTION: -1 if cls_attention and not pools else None, QKV: qkv_block,
                 CLASS_QUERY: class_query_block}
        asked = {name: self.check_blocks([block])[0] for name, block in asked.items() if block is not None}
        if self.cls_token is None:
            require_class_token(self.arch, asked)
        runs = self.num_layers if indices or pools else max(asked.values(), default=0)  # blocks that are needed whole
        tokens, grid, ropes = self._embed(image)
        outputs, extras = {}, {}
        for index, (block, rope) in enumerate(zip(self.blocks, ropes, strict=True)):
            wanted = {key for key in asked if asked[key] == index}
            extras.update(attention_outputs(block, tokens, rope, wanted, self.num_prefix_tokens, self.rotary_qkv))
            if index == runs:
                break
            tokens = self._pass(index, tokens, grid, rope, outputs if index in indices else None)
        if self.cls_token is not None and runs == self.num_layers:
            extras['cls_token'] = self.norm(tokens[:, :1])[:, 0] if self.final_norm else tokens[:, 0]
        if pools:
            attention = pooling_attention(self.attn_pool, self.norm(tokens[:, self.num_unpooled:]))
            extras['cls_attention'] = attention[..., self.num_prefix_tokens - self.num_unpooled:]
        return DenseFeatures(maps=tuple(outputs[index] for index in indices), grid=grid, **extras)

    def _embed(self, image: Tensor) -> tuple[Tensor, tuple[int, int], list[Tensor | None]]:
        """Tokens (B, prefix + h*w, C) that enter the first block, the grid (h, w), and the rotations of each block."""
        self.check_weights()
        image = fit_to_patches(image, self.patch_size, self.size_mode)
        patches = self.patch_embed.proj(image)
        grid = tuple(patches.shape[-2:])
        patches = self.patch_embed.norm(patches.flatten(2).transpose(1, 2))
        prefix = [token for name in PREFIX_TOKENS if (token := getattr(self, name)) is not None]
        prefix = torch.cat(prefix, dim=1) if prefix else None
        if self.pos_embed is not None:
            n = self.num_prefix_positions
            patches = patches + resize_positions(self.pos_embed[:, n:], self.grid_size, grid, self.pos_interp)
            if n:
                prefix = torch.cat([prefix[:, :n] + self.pos_embed[:, :n], prefix[:, n:]], dim=1)
        tokens = patches
        if prefix is not None:
            tokens = torch.cat([prefix.expand(patches.shape[0], -1, -1).to(patches.dtype), patches], dim=1)
        return self.norm_pre(self.pos_drop(tokens)), grid, block_rotations(self.rope, grid, self.num_layers)

    def _pass(self, index: int, tokens: Tensor, grid: tuple[int, int], rope: Tensor | None,
              outputs: dict[int, Tensor] | None) -> Tensor:
        """Run block `index`, and put its map into `outputs`."""
        block = self.blocks[index]
        if outputs is not None and self.features == KEYS:
            keys = block_qkv(block, tokens, rope if self.rotary_qkv else None)[1][:, :, self.num_prefix_tokens:]
            outputs[index] = keys.transpose(2, 3).flatten(1, 2).unflatten(2, grid)
        tokens = self.run_block(block, tokens, rope)
        if outputs is not None and self.features == TOKENS:
            outputs[index] = self._to_map(tokens, index, grid)
        return tokens

    def _to_map(self, tokens: Tensor, index: int, grid: tuple[int, int]) -> Tensor:
        """Patch tokens of (B, N, C) as a map (B, C, h, w), which is a view in channels-last memory order."""
        patches = tokens[:, self.num_prefix_tokens:]
        if self.final_norm is True or (self.final_norm == 'last' and index == self.num_layers - 1):
            patches = self.norm(patches)
        return patches.transpose(1, 2).unflatten(2, grid)

    def get_layer_depth(self, param_name: str, prefix: str = 'backbone.') -> tuple[int, int]:
        """Depth of a parameter and the number of depths, for layer-wise learning-rate decay.

        Those of the backbone are given by `layer_depth`; everything outside `prefix` has the last depth.
        """
        inside = param_name.startswith(prefix)
        depth = layer_depth(param_name[len(prefix):], self.num_layers) if inside else self.num_layers + 1
        return depth, self.num_layers + 2

    def no_weight_decay(self) -> set[str]:
        """Names of own parameters that are not to decay: tokens, positions and rotary frequencies."""
        return {name for name, _ in self.named_parameters() if name in NO_WEIGHT_DECAY}
