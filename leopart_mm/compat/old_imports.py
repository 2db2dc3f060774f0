"""Modules that were renamed can still be imported under their old names, with a DeprecationWarning.

Their names are looked up in the modules that hold them now, when they are asked for; nothing is loaded before.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = 'leopart_mm'
_CHECKPOINTS = ('checkpoints.safe_reading', 'checkpoints.sources', 'checkpoints.networks', 'checkpoints.matching',
                'checkpoints.key_layouts', 'checkpoints.renaming', 'checkpoints.token_positions',
                'checkpoints.conversion', 'files')
_GRIDS = ('geometry.patch_grid', 'geometry.cell_counts', 'geometry.boundary')
_SORTING = ('models.losses.sorting.networks', 'models.losses.sorting.relaxations', 'models.losses')
# Old module -> the modules that hold its names now, in order of search.
MOVED: dict[str, tuple[str, ...]] = {
    'clustering.cbfe': ('clustering.foreground', ),
    'clustering.cell_cooccurrence': ('clustering.cooccurrence', ),
    'clustering.cells': _GRIDS,
    'clustering.foreground_threshold': ('clustering.foreground', ),
    'clustering.image_information': ('clustering.information', ),
    'clustering.label_maps': _GRIDS,
    'clustering.sampling': ('clustering.token_sample', ),
    'clustering.standardise': ('clustering.moments', ),
    'compat.checkpoint': ('checkpoints.safe_reading', ),
    'datasets.transforms.crop_boxes': ('geometry.crop_boxes', ),
    'engine.community_search': ('apis.community_search', ),
    'engine.hooks.cluster_visualization_hook': ('engine.hooks', ),
    'engine.hooks.ema_teacher_hook': ('engine.hooks', 'engine.hooks.self_sup_step_hook'),
    'engine.hooks.stage_pictures_hook': ('engine.hooks', ),
    'engine.loops.feature_stream': ('engine.loops', ),
    'engine.progress': ('progress', ),
    'engine.schedules': ('engine.hooks.self_sup_step_hook', ),
    'engine.table5': ('apis.table5', 'apis.table5_run'),
    'evaluation.boundary': ('evaluation', *_GRIDS),
    'models.backbones.attention': ('models.backbones.qkv', ),
    'models.backbones.checkpoint_source': _CHECKPOINTS,
    'models.backbones.checkpoints': _CHECKPOINTS,
    'models.backbones.export': ('checkpoints.conversion', ),
    'models.backbones.key_layouts': _CHECKPOINTS,
    'models.backbones.resnet_checkpoints': _CHECKPOINTS,
    'models.backbones.token_positions': _CHECKPOINTS,
    'models.checkpoint_conversion': _CHECKPOINTS,
    'models.data_preprocessors.photometric': ('datasets.transforms.photometric', ),
    'models.data_preprocessors.pil_blur': ('datasets.transforms.pil_blur', ),
    'models.decode_heads.fitting': ('models.fitting.processes', ),
    'models.feature_batch': ('models.fitting.feature_batch', 'models.backbones.features', *_GRIDS),
    'models.features': ('models.backbones.features', ),
    'models.fitted_state': ('models.fitting.state', ),
    'models.heads': ('models.losses', ),
    'models.heads.leopart_head': ('models.losses', ),
    'models.heads.neco_head': ('models.losses', ),
    'models.heads.prototypes': ('models.losses', ),
    'models.losses.alignment': ('geometry.crop_pairs', ),
    'models.losses.cell_weights': ('models.losses.cell_shares', ),
    'models.losses.relaxations': _SORTING,
    'models.losses.soft_sort': _SORTING,
    'models.losses.sorted_cross_entropy': ('models.losses.sorting.sorted_cross_entropy', *_SORTING),
    'models.losses.sorting_networks': _SORTING,
    'models.network_state': _CHECKPOINTS,
    'models.postprocessors.base': ('models.postprocessors', 'models.fitting.feature_batch',
                                   'models.backbones.features'),
    'models.postprocessors.fitted': ('models.fitting.base', ),
    'models.selfsup.base': ('models.selfsup', 'models.losses'),
    'retrieval.attention': ('retrieval.mixing', 'geometry.patch_grid'),
    'retrieval.sampling': ('retrieval.patch_sampling', ),
    'visualization.palette': ('palette', ),
    'visualization.table5_report': ('apis.table5_report', ),
}
# Old packages that exist, but export fewer names.
NAMES: dict[str, tuple[str, ...]] = {'compat': ('checkpoints.safe_reading', )}
# Things that have another name now, and the same arguments.
RENAMED = {
    'CellCoOccurrence': 'CoOccurrence',
    'DenseSelfSupervisor': 'CropPairModel',
    'clustering.cells.cell_weights': 'pixels_per_cell',
    'models.losses.cell_weights.cell_weights': 'cell_shares',
}


def find_moved(module: str, name: str, places: Sequence[str]) -> Any:
    """What the old module calls `name`.

    Args:
        module: Old module below the package.
        name: A name that it had.
        places: Modules below the package that may hold it now.

    Raises:
        AttributeError: If no module holds it, as Python wants it for an import error.
    """
    new = RENAMED.get(f'{module}.{name}', RENAMED.get(name, name))
    for place in () if name.startswith('_') else places:
        holder = importlib.import_module(f'{PACKAGE}.{place}')
        if new in vars(holder):
            warnings.warn(f'{PACKAGE}.{module}.{name} is {PACKAGE}.{place}.{new} now.', DeprecationWarning, 3)
            return vars(holder)[new]
    raise AttributeError(f'module {PACKAGE}.{module} has no attribute {name}')


class _OldModules(MetaPathFinder, Loader):
    """Makes a module for a name in MOVED that answers by `find_moved`."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of an old module; None for any other name."""
        package, _, module = fullname.partition('.')
        if package != PACKAGE or module not in MOVED:
            return None
        return ModuleSpec(fullname, self, is_package=any(other.startswith(f'{module}.') for other in MOVED))

    def exec_module(self, module: ModuleType) -> None:
        """Let the module look its names up."""
        name = module.__name__.partition('.')[2]
        module.__getattr__ = lambda attribute: find_moved(name, attribute, MOVED[name])


def install_old_imports() -> None:
    """Let Python find old modules; safe to call more than once."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.append(_OldModules())
