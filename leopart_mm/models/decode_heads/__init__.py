from leopart_mm.models.decode_heads.deeplab_head import DeepLabHead
from leopart_mm.models.decode_heads.overcluster_head import OverclusterHead
from leopart_mm.models.decode_heads.probe_head import ProbeHead
from leopart_mm.models.decode_heads.prototype_head import LinearProbe, PrototypeHead
from leopart_mm.models.decode_heads.retrieval_head import RetrievalHead
from leopart_mm.models.fitting.state import NotFittedError

__all__ = [
    'DeepLabHead', 'LinearProbe', 'NotFittedError', 'OverclusterHead', 'ProbeHead', 'PrototypeHead', 'RetrievalHead'
]
