"""Packaging of leopart_mm, an OpenMMLab plugin."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
VERSION = {}
exec((ROOT / 'leopart_mm' / 'version.py').read_text(), VERSION)

REQUIRES = [
    'torch>=2.1', 'torchvision>=0.16', 'mmengine>=0.10.4,<1.0', 'mmsegmentation>=1.2.2,<1.3', 'mmpretrain>=1.2.0,<1.3',
    'timm>=1.0.20',  # its Eva networks compute DINOv3
    'numpy', 'scipy', 'scikit-image', 'scikit-learn', 'faiss-cpu', 'opencv-python', 'Pillow', 'matplotlib', 'networkx',
    'infomap>=2.16', 'pycocotools', 'safetensors', 'prettytable', 'rich',
    'ftfy', 'regex',  # imported by mmseg, which does not declare them
    'setuptools<82',  # `_base_ = ['mmseg::...']` needs pkg_resources at run time
]
NOT_INSTALLED = ('benchmark.py', 'gpu_check.py')  # they need benchmarks/, which only a checkout has
EXTRAS = {
    'mmcv-lite': ['mmcv-lite==2.1.0'],
    'mmdet': ['mmdet==3.3.0'],  # Mask R-CNN, Mask2Former
    'search': ['optuna'],
    'tensorboard': ['tensorboard'],  # tools/train.py --tensorboard
    'tests': ['pytest', 'pytest-xdist', 'ruff', 'pre-commit', 'torchmetrics', 'playwright', 'tensorboard',
              'transformers>=4.56,<6'],  # its DINOv2 and DINOv3, with which ours are compared
    'geo': ['rasterio>=1.3'],  # GeoTIFF, GeoJSON, large rasters by windows
    'onnx': ['onnx', 'onnxruntime', 'onnxscript'],
}


class BuildWithConfigs(build_py):
    """Put configs and tools into `leopart_mm/.mim`, where MIM and `leopart_mm::...` look for them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # the checkout itself is in use
        target = Path(self.build_lib) / 'leopart_mm' / '.mim'
        for name in ('configs', 'tools'):
            shutil.copytree(ROOT / name, target / name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns('__pycache__', '*.pyc', *NOT_INSTALLED))
        shutil.copy(ROOT / 'model-index.yml', target)


setup(
    name='leopart_mm',
    version=VERSION['__version__'],
    description='Dense self-supervised learning and unsupervised segmentation (Leopart, NeCo, PaKA, PriMaPs-EM, '
                'MaskDistill) as an OpenMMLab plugin',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['leopart_mm', 'leopart_mm.*']),
    package_data={'leopart_mm.datasets.sample': ['*.safetensors'], 'leopart_mm.evaluation': ['*.json'],
                  'leopart_mm.visualization': ['*.css', '*.html', '*.js']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points=dict(console_scripts=['leopart_mm = leopart_mm.cli.command:main']),
    python_requires='>=3.11',
    install_requires=REQUIRES,
    extras_require=EXTRAS,
)
