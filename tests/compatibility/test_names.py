"""Every name that a user could write before the code was regrouped still means the same."""

import importlib
import runpy
from pathlib import Path

import pytest

import leopart_mm.registry as registries
from leopart_mm.compat.old_imports import MOVED
from leopart_mm.engine.renamed_configs import find_config
from tests.paths import REPO

REGISTERED = dict(
    MODELS='CBFE CommunityDetection DenseResNet DenseViT FeatureToSize ForegroundClustering Leopart LeopartHead '
    'LeopartLoss MeanReadout MultiCropDataPreprocessor NeCo NeCoHead NeCoLoss OverclusterHead ProjectionHead '
    'Prototypes RetrievalHead RetrievalSegmentor UnsupervisedSegmentor',
    DATASETS='ADE20K151 ADE20KStreetParts COCOStuff15 COCOThings12 PairedFolders UnlabelledImages VOCLayoutDataset',
    DATA_SAMPLERS='DrawSampler InfiniteDrawSampler',
    TRANSFORMS='DrawPhotometric KeepNetworkSize LoadImage PackMultiCrop RandomColourJitter ResizeOriented ResizeSegMap '
    'RoIAlignedMultiCrop SegRandomResizedCrop',
    METRICS='BoundaryF1Metric ClusterMetric',
    HOOKS='AtomicCheckpointHook BackboneCheckpointHook ClusterVisualizationHook EMATeacherHook HealthHook '
    'ResNetCheckpointHook StagePicturesHook StepSeedHook',
    LOOPS='FitTestLoop FitValLoop ResumableEpochLoop ResumableIterLoop',
    OPTIM_WRAPPER_CONSTRUCTORS='BackboneHeadConstructor LayerDecayConstructor',
    OPTIM_WRAPPERS='MixedPrecisionOptimWrapper',
    INFERENCERS='LeopartInferencer',
    TASK_UTILS='AttentionMasks MaskFiles')
IMPORTS = {
    'clustering.cbfe': 'cluster_sizes',
    'clustering.cell_cooccurrence': 'CellCoOccurrence',
    'clustering.cells': 'cell_weights cell_indices',
    'clustering.image_information': 'image_information',
    'clustering.label_maps': 'upsample_labels nearest_cells',
    'clustering.sampling': 'TokenSample token_priorities',
    'clustering.standardise': 'Moments',
    'compat': 'load_checkpoint_file register_safe_globals UnsafeCheckpointError',
    'compat.checkpoint': 'load_checkpoint_file',
    'datasets.transforms.crop_boxes': 'sample_crops',
    'engine.hooks.cluster_visualization_hook': 'ClusterVisualizationHook',
    'engine.hooks.ema_teacher_hook': 'EMATeacherHook',
    'engine.hooks.stage_pictures_hook': 'StagePicturesHook',
    'engine.loops': 'FeatureStream',
    'engine.loops.feature_stream': 'FeatureStream',
    'engine.progress': 'progress',
    'engine.schedules': 'cosine_value',
    'evaluation.boundary': 'boundary_f1 contour_points',
    'models': 'Leopart LeopartHead LeopartLoss OverclusterHead Prototypes RetrievalSegmentor UnsupervisedSegmentor',
    'models.backbones': 'DenseResNet DenseViT load_backbone_state to_timm_state_dict',
    'models.backbones.checkpoint_source': 'read_checkpoint flatten_tensors BackboneCheckpointError',
    'models.backbones.export': 'to_timm_state_dict',
    'models.checkpoint_conversion': 'TARGETS convert_checkpoint flat_tensors',
    'models.data_preprocessors.photometric': 'augment',
    'models.decode_heads.fitting': 'gather_parts broadcast_result',
    'models.feature_batch': 'FeatureBatch content_of image_extent',
    'models.features': 'DenseFeatures',
    'models.fitted_state': 'FittedState NotFittedError',
    'models.heads': 'LeopartHead NeCoHead Prototypes',
    'models.heads.prototypes': 'Prototypes',
    'models.losses': 'LeopartLoss NeCoLoss soft_sort sorted_cross_entropy sorting_network',
    'models.losses.alignment': 'CropPairs roi_matrix',
    'models.losses.cell_weights': 'attention_mask cell_weights',
    'models.losses.soft_sort': 'soft_sort',
    'models.losses.sorting_networks': 'SortingNetwork sorting_network',
    'models.postprocessors.base': 'BasePostprocessor',
    'models.selfsup': 'DenseSelfSupervisor Leopart NeCo',
    'models.selfsup.base': 'DenseSelfSupervisor Teacher TeacherOutput',
    'retrieval.attention': 'mix_labels',
    'retrieval.sampling': 'sample_patches',
    'visualization.palette': 'distinct_colours',
}
COMMON = '--work-dir --amp --no-pin-memory --no-persistent-workers --cfg-options --launcher --local_rank --local-rank '
FLAGS = {
    'train.py': COMMON + '--resume --no-validate --auto-scale-lr --seed',
    'test.py': COMMON + '--out --show --show-dir --names --wait-time --save-fitted --tta',
    'segment_folder.py': '--checkpoint --out --config --device --tile-size --overlap --max-side --names --overlay '
                         '--sheet --parts --overwrite',
    'convert_checkpoint.py': '--to --which --overwrite',
    'reproduce_table5.py': '--data-root --checkpoints --small --protocol --cache',
}
# The commands of the README, with what they name.
COMMANDS = (
    'train.py configs/leopart/leopart_dino-vits16_folder.py --cfg-options data_root=my/images checkpoint=a.pth',
    'train.py configs/neco/neco_dinov2r-vits14_folder.py --cfg-options data_root=my/images checkpoint=a.pth',
    'train.py configs/leopart/upernet_leopart-vits16_voc.py --cfg-options data_root=data/VOC checkpoint=iter_2000.pth',
    'test.py configs/leopart/overcluster/leopart-vits16-coco_voc_k500.py iter_2000.pth --cfg-options data_root=VOC '
    '--show-dir pictures --out label_maps',
    'test.py configs/neco/retrieval/retrieval_neco-vits14_voc_frac-128.py a.pth --cfg-options data_root=data/VOC '
    '--save-fitted memory.pth --show-dir pictures',
    'test.py configs/leopart/fully_unsup_vits16_small.py a.pth --cfg-options data_root=data/VOC --show-dir pictures '
    '--save-fitted fitted.pth --names segments/names.yaml',
    'segment_folder.py my/images --checkpoint fitted.pth --out segments --overlay --sheet',
    'reproduce_table5.py --data-root data/VOC --checkpoints dino=a.pth leopart=b.ckpt --small --protocol published',
    'convert_checkpoint.py a.pth b.pth --to timm',
    'search_communities.py configs/leopart/fully_unsup_vits16_small.py a.pth',
)


@pytest.mark.parametrize('registry', REGISTERED)
def test_registered_names(registry):
    registry_of_now = getattr(registries, registry)
    registry_of_now.import_from_location()
    assert set(REGISTERED[registry].split()) <= registry_of_now.module_dict.keys()


def test_config_files():
    names = (Path(__file__).parent / 'old_config_names.txt').read_text().split()
    assert len(names) == 239
    for name in names:
        assert find_config(REPO / 'configs' / f'{name}.py')[0].is_file()


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize('module', IMPORTS)
def test_imports(module):
    holder = importlib.import_module(f'leopart_mm.{module}')
    for name in IMPORTS[module].split():
        assert getattr(holder, name) is not None


def test_an_old_module_says_what_it_is_called_now():
    from leopart_mm.palette import distinct_colours
    with pytest.warns(DeprecationWarning, match=r'is leopart_mm\.palette\.distinct_colours now'):
        from leopart_mm.visualization.palette import distinct_colours as old
    assert old is distinct_colours
    with pytest.raises(ImportError, match='no_such_name'):
        from leopart_mm.visualization.palette import no_such_name  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('leopart_mm.visualization.never_existed')


def test_every_moved_module_is_gone_and_its_places_exist():
    for old, places in MOVED.items():
        path = REPO / 'leopart_mm' / old.replace('.', '/')
        assert not path.with_suffix('.py').exists(), old
        assert not path.is_dir(), old
        for place in places:
            importlib.import_module(f'leopart_mm.{place}')


def parser_of(tool):
    return runpy.run_path(str(REPO / 'tools' / tool))['build_parser']()


@pytest.mark.parametrize('tool', FLAGS)
def test_flags(tool):
    assert set(FLAGS[tool].split()) <= parser_of(tool)._option_string_actions.keys()


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_of_the_readme(command):
    tool, *arguments = command.split()
    given = parser_of(tool).parse_args(arguments)
    if 'config' in given and given.config:
        assert find_config(REPO / given.config)[0].is_file()
    if getattr(given, 'cfg_options', None):
        assert given.cfg_options['data_root'] in ('my/images', 'data/VOC', 'VOC')
