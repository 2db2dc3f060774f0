from leopart_mm.models.backbones import DenseResNet, DenseViT  # noqa: F401
from leopart_mm.models.data_preprocessors import MultiCropDataPreprocessor  # noqa: F401
from leopart_mm.models.decode_heads import OverclusterHead, RetrievalHead  # noqa: F401
from leopart_mm.models.losses import LeopartHead, LeopartLoss, NeCoHead, NeCoLoss, PaKALoss, Prototypes  # noqa: F401
from leopart_mm.models.necks import FeatureToSize, MeanReadout, ProjectionHead  # noqa: F401
from leopart_mm.models.postprocessors import BasePostprocessor  # noqa: F401
from leopart_mm.models.segmentors import PrototypeSegmentor, RetrievalSegmentor, UnsupervisedSegmentor  # noqa: F401
from leopart_mm.models.selfsup import Leopart, NeCo, PaKA  # noqa: F401
