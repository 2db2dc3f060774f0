"""docs/backbones.md says what the script finds."""

import re

import pytest
import timm

from benchmarks.backbones.check import TOLERANCE, check, compare, fill, size_of
from benchmarks.backbones.table import ARCHS, PAGE, build_parser, cells_of, main, read_rows, render
from leopart_mm.models.backbones import DenseViT

ROWS = read_rows(PAGE)
SMALL = [name for name in ROWS if re.search('tiny|small', name)]


def test_the_page_has_every_network_and_nothing_else():
    assert list(ROWS) == list(ARCHS)
    assert PAGE.read_text() == render(ROWS)


def test_every_network_is_equal_and_takes_a_step():
    for name, cells in ROWS.items():
        *_, tokens, qkv, attention, step = cells
        assert all(float(value) <= TOLERANCE for value in (tokens, qkv, attention) if value != '-'), name
        assert (attention == '-') == (cells[4] == 'none'), name
        assert step == 'yes', name


def test_parameters_and_blocks_are_those_of_timm():
    assert len(SMALL) > 15
    for name in SMALL[::4]:
        parameters, depth = size_of(name)
        assert (ROWS[name][1], ROWS[name][5]) == (f'{parameters:,}', f'all {depth}'), name


@pytest.mark.parametrize('name', ['vit_tiny_patch16_dinov3_qkvb', 'vit_pe_spatial_tiny_patch16_512'])
def test_a_row_comes_out_again(name):
    """The last digits of differences are the processor's."""
    found = check(name)
    assert found.equal
    cells = cells_of(found)
    assert cells[:6] + cells[-1:] == ROWS[name][:6] + ROWS[name][-1:]


def test_a_network_without_its_positions_is_found_out():
    vit = DenseViT('vit_tiny_patch16_dinov3_qkvb', dict(depth=2), rotary_qkv=True).eval()
    fill(vit)
    twin = timm.create_model(vit.arch, depth=2, num_classes=0, global_pool='').eval()
    twin.load_state_dict(vit.state_dict())
    assert max(compare(vit, twin, (64, 96))) <= TOLERANCE
    vit.rope = None
    assert min(compare(vit, twin, (64, 96))) > 100 * TOLERANCE


def test_a_run_fills_what_is_missing(tmp_path, monkeypatch, capsys):
    page = tmp_path / 'page.md'
    page.write_text(render({name: row for name, row in ROWS.items() if 'tiny' not in name}))
    asked = []

    def found(name):
        asked.append(name)
        return check('vit_tiny_patch16_224')

    monkeypatch.setattr('benchmarks.backbones.check.check', found)
    assert main(build_parser().parse_args(
        ['vit_tiny_patch16_224', 'vit_small_patch16_224', '--missing', '--page', str(page)])) == 0
    assert asked == ['vit_tiny_patch16_224']
    assert read_rows(page)['vit_tiny_patch16_224'][:6] == ROWS['vit_tiny_patch16_224'][:6]
    assert 'vit_tiny_patch16_224 5,5' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='resnet50'):
        main(build_parser().parse_args(['resnet50', '--page', str(page)]))
