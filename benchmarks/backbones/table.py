"""Write docs/backbones.md: what DenseViT gives of each network of timm, compared with timm itself.

    python -m benchmarks.backbones.table --missing --minutes 7      # go on where the page ends
    python -m benchmarks.backbones.table vit_small_patch16_dinov3   # one network again

The page is the record: rows of networks that are not checked in this run stay as they are.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

from leopart_mm.files import write_text_whole

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'backbones.md'
FAMILIES = {
    'DINOv3': (
        'vit_small_patch16_dinov3', 'vit_small_plus_patch16_dinov3', 'vit_base_patch16_dinov3',
        'vit_large_patch16_dinov3', 'vit_huge_plus_patch16_dinov3', 'vit_7b_patch16_dinov3',
        'vit_tiny_patch16_dinov3_qkvb', 'vit_small_patch16_dinov3_qkvb', 'vit_small_plus_patch16_dinov3_qkvb',
        'vit_base_patch16_dinov3_qkvb', 'vit_large_patch16_dinov3_qkvb', 'vit_huge_plus_patch16_dinov3_qkvb'),
    'EVA and EVA-02': (
        'eva02_tiny_patch14_224', 'eva02_small_patch14_224', 'eva02_base_patch14_224', 'eva02_large_patch14_224',
        'eva02_tiny_patch14_336', 'eva02_small_patch14_336', 'eva02_base_patch14_448', 'eva02_large_patch14_448',
        'eva02_base_patch16_clip_224', 'eva02_large_patch14_clip_224', 'eva02_enormous_patch14_clip_224',
        'eva_giant_patch14_224'),
    'Perception Encoder': (
        'vit_pe_spatial_tiny_patch16_512', 'vit_pe_spatial_small_patch16_512', 'vit_pe_spatial_base_patch16_512',
        'vit_pe_core_small_patch16_384', 'vit_pe_core_base_patch16_224', 'vit_pe_core_large_patch14_336',
        'vit_pe_spatial_large_patch14_448', 'vit_pe_spatial_gigantic_patch14_448'),
    'RoPE-ViT': tuple(
        f'vit_{size}_patch16_rope_{kind}224' for size in ('small', 'base', 'large')
        for kind in ('', 'ape_', 'mixed_', 'mixed_ape_')),
    'Other networks with rotary positions': (
        'vit_medium_patch16_rope_reg1_gap_256', 'vit_betwixt_patch16_rope_reg4_gap_256', 'vit_small_patch16_lingbot',
        'vit_base_patch16_sapiens2'),
    'SigLIP and SigLIP 2 (no class token)': (
        'vit_base_patch16_siglip_224', 'vit_base_patch16_siglip_512', 'vit_base_patch16_siglip_gap_224',
        'vit_large_patch16_siglip_256', 'vit_so400m_patch14_siglip_224', 'vit_giantopt_patch16_siglip_256'),
    'Learned positions': (
        'vit_tiny_patch16_224', 'vit_small_patch16_224', 'vit_small_patch8_224', 'vit_base_patch16_224',
        'vit_small_patch14_dinov2', 'vit_small_patch14_reg4_dinov2', 'vit_base_patch14_reg4_dinov2',
        'deit3_small_patch16_224', 'vit_base_patch16_clip_224'),
}
ARCHS = tuple(name for names in FAMILIES.values() for name in names)
HEAD = ('arch', 'parameters', 'patch', 'registers', 'attention of', 'blocks compared', 'tokens', 'q, k, v', 'attention',
        'step')
TEXT = """# Networks that DenseViT takes

`arch=NAME` with a name of this page, or any other plain ViT of timm (`vit_*`, `deit*`, `eva*`). Every row is the result
of a run on a CPU in float32, written by

    python -m benchmarks.backbones.table --missing

with **random weights**, drawn so that every part of the network counts: it shows that we compute what timm computes,
and says nothing of how good the published weights are; none of them were read for this page. Not run are other image
sizes of a network that has a row (`*_384`, `*_512`), PE lang, and PE core of the gigantic size; they run the same code:
add their names to `FAMILIES` there. Tests compare small networks built as these are
(`tests/models/backbones/test_eva.py`).

- **parameters**: of the network without classifier and pooling head.
- **attention of**: whose attention `cls_attention=True` gives (masks of Leopart and CBFE). A network without class
  token gives that of its pooling head, if it has one; *none* is refused with a message. MaskDistill's seeds need a
  class token.
- **blocks compared**: all, or the first ones of a network too large for the machine of the run (above 450 million
  parameters), at its full width.
- **tokens**, **q, k, v**, **attention**: greatest difference from timm over images of 8 x 8, 5 x 11 and 14 x 9 patches:
  of the patch tokens and the class token behind the last block and norm, relative to the greatest value; likewise of
  queries, keys and values of the last block, with rotary positions (`rotary_qkv=True`), from what timm hands to its
  fused attention; absolute, of the attention to the patches. Required are 1e-05.
- **step**: whether the loss of NeCo, on two blocks of the full width, gives every trained parameter a finite gradient.

Colours: `mean` and `std` follow the weights (`backbone=timm://NAME.TAG`, or `arch=NAME.TAG` beside a file). DINOv3's
`lvd1689m` weights have ImageNet's, `sat493m` (satellite images; L and 7B) mean 109.65, 104.805, 75.48 and std 54.315,
39.78, 36.465 in 0..255. Without a tag the two cannot be told apart: the tools then say whose colours they use.
"""


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help='networks to check (default: all)')
    parser.add_argument('--missing', action='store_true', help='only those that the page has no row of')
    parser.add_argument('--minutes', type=float, help='begin nothing new after so long')
    parser.add_argument('--page', type=Path, default=PAGE, help='the page (default: docs/backbones.md)')
    return parser


def read_rows(page: Path) -> dict[str, list[str]]:
    """The cells of a page by the name of the network; none if there is no page yet."""
    lines = page.read_text().splitlines() if page.exists() else []
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line.startswith('| vit')
            or line.startswith(('| eva', '| deit'))]
    return {cells[0]: cells for cells in rows}


def render(rows: Mapping[str, list[str]]) -> str:
    """The page."""
    parts = [TEXT]
    for family, names in FAMILIES.items():
        table = [list(HEAD), ['---'] * len(HEAD), *(rows[name] for name in names if name in rows)]
        parts.append('\n'.join([f'## {family}', '', *(f'| {" | ".join(cells)} |' for cells in table)]) + '\n')
    return '\n'.join(parts)


def cells_of(found: 'Checked') -> list[str]:  # noqa: F821
    """The row of a network."""
    whole = 'all' if found.run == found.depth else f'{found.run} of'
    errors = ['-' if value is None else f'{value:.0e}' if value else '0'
              for value in (found.forward, found.qkv, found.attention_error)]
    return [found.name, f'{found.parameters:,}', str(found.patch_size), str(found.registers), found.attention,
            f'{whole} {found.depth}', *errors, 'yes' if found.step else 'NO']


def main(args: argparse.Namespace) -> int:
    """Check what was asked for; returns 1 if something differs from timm."""
    from benchmarks.backbones.check import check
    if unknown := set(args.names) - set(ARCHS):
        raise SystemExit(f'Not in FAMILIES: {", ".join(sorted(unknown))}.')
    begin, failed = time.time(), []
    for name in args.names or ARCHS:
        if args.missing and name in read_rows(args.page):
            continue
        if args.minutes is not None and time.time() - begin > 60 * args.minutes:
            break
        found = check(name)
        row = cells_of(found)
        write_text_whole(args.page, render({**read_rows(args.page), name: row}))  # another run may have written to it
        print(' '.join(row), flush=True)
        failed += [] if found.equal else [name]
    if failed:
        print(f'DIFFERENT from timm: {", ".join(failed)}')
    return bool(failed)


if __name__ == '__main__':
    raise SystemExit(main(build_parser().parse_args()))
