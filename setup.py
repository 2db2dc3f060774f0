"""Packaging of leopart_mm, an OpenMMLab plugin."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = {}
exec((ROOT / 'leopart_mm' / 'version.py').read_text(), VERSION)

REQUIRES = [
    'torch>=2.1', 'torchvision>=0.16', 'mmengine>=0.10.4,<1.0', 'mmsegmentation>=1.2.2,<1.3', 'mmpretrain>=1.2.0,<1.3',
    'timm>=1.0', 'numpy', 'scipy', 'scikit-image', 'faiss-cpu', 'opencv-python', 'Pillow', 'matplotlib', 'networkx',
    'infomap>=2.16', 'safetensors', 'prettytable', 'rich',
    'ftfy', 'regex',  # imported by mmseg, which does not declare them
    'setuptools<82',  # `_base_ = ['mmseg::...']` needs pkg_resources at run time
]
EXTRAS = {
    'mmcv-lite': ['mmcv-lite==2.1.0'],
    'search': ['optuna'],
    'tests': ['pytest', 'pytest-xdist', 'ruff', 'pre-commit', 'scikit-learn', 'torchmetrics'],
}

setup(
    name='leopart_mm',
    version=VERSION['__version__'],
    description='Dense self-supervised learning and unsupervised segmentation (Leopart) as an OpenMMLab plugin',
    long_description=(ROOT / 'README.md').read_text() if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['leopart_mm', 'leopart_mm.*']),
    include_package_data=True,
    python_requires='>=3.11',
    install_requires=REQUIRES,
    extras_require=EXTRAS,
)
