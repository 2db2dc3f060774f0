"""RetrievalHead: labels from the nearest labelled patches, with the patch memory in the checkpoint."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import gather_object, get_dist_info
from mmengine.logging import print_log
from torch import Tensor

from leopart_mm.models.decode_heads.patch_memory import MemorySettings, read_memory
from leopart_mm.models.decode_heads.sharded_search import gather_queries, merge_shards
from leopart_mm.models.fitting.base import FittableHead
from leopart_mm.models.fitting.debias import build_debias
from leopart_mm.models.fitting.feature_batch import FeatureBatch
from leopart_mm.models.fitting.prediction import Prediction
from leopart_mm.models.fitting.processes import broadcast_result, gather_parts
from leopart_mm.registry import MODELS
from leopart_mm.retrieval.mixing import mix_labels
from leopart_mm.retrieval.patch_labels import VOID_RULES, soft_labels
from leopart_mm.retrieval.search import INDEXES, InvertedFile, check_k, search

KEY_DTYPES = dict(float32=torch.float32, float16=torch.float16)
LABEL_CHUNK = 2**24  # entries of neighbours' labels at a time


@MODELS.register_module()
class RetrievalHead(FittableHead):
    """Dense nearest-neighbour retrieval: each patch takes the labels of the most similar patches in a memory.

    Source: docs/methods/neco.md §8.

    `fit` fills the memory from labelled images: unit features as keys, pixel counts of the classes as values. With
    several processes each keeps the patches that it read and all search together, which is exact. It works as
    `decode_head` of RetrievalSegmentor (labels at pixels, in steps that never hold all scores) and of mmseg's
    EncoderDecoder. There is no gradient anywhere.

    Args:
        num_classes: Number of classes C.
        k: Number of neighbours.
        temperature: Temperature > 0 of the softmax over their cosines.
        memory_size: Number of patches kept, in equal parts from all images and passes, rare classes of an image first
            (published: 1024 * 10^2, 10^3 and 10^4). An image gives at least one patch and at most all it has, so that
            small memories are exceeded and large ones not filled. None keeps every patch.
        passes: Number of times the images are read, each time with fresh augmentation (published: 1; its table: 2).
            More than 1 needs DrawSampler and no cache, see FeatureStream.
        ignore_index: Label without a class in the images that fill the memory, besides 255.
        void: 'exclude': pixels without a class do not count, and patches of nothing else are not kept. 'class0':
            255 becomes class 0 and nothing is ignored, as published.
        seed: Seed of the choice of patches, and of the inverted file.
        key_dtype: 'float16' halves the memory; see `search` for what it changes.
        index: 'torch' and 'faiss' (CPU) are exact, 'auto' is torch; 'ivf' is approximate (CPU) and holds a second copy
            of the keys.
        num_lists: Number of lists of 'ivf' (the published benchmark's ScaNN has 512 leaves).
        num_probes: Number of lists of 'ivf' that a query searches (published: 32).
        in_index: Which map of the backbone is read.
        debias: Config of a PositionDebias, which takes position out of keys and queries before they are made unit
            vectors: dict(type='leopart_mm.BlackImageDebias', rank=16). None: the features as they are.

    Attributes:
        num_clusters, out_channels: C.
        keys, counts: Fitted: (N, D) and (N, C). With several processes those of this process.

    Raises:
        ValueError: If a setting is out of range.
    """

    STATE = ('keys', 'counts')

    def __init__(self,
                 num_classes: int,
                 k: int = 30,
                 temperature: float = 0.02,
                 memory_size: int | None = None,
                 passes: int = 1,
                 ignore_index: int = 255,
                 void: str = 'exclude',
                 seed: int = 0,
                 key_dtype: str = 'float32',
                 index: str = 'auto',
                 num_lists: int = 512,
                 num_probes: int = 32,
                 in_index: int = -1,
                 debias: dict | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        for name, value in dict(num_classes=num_classes, k=k, passes=passes, memory_size=memory_size or 1,
                                num_lists=num_lists, num_probes=num_probes).items():
            if value < 1:
                raise ValueError(f'RetrievalHead: {name} must be at least 1, not {value}.')
        if temperature <= 0:
            raise ValueError(f'RetrievalHead: temperature must be greater than 0, not {temperature}.')
        for name, value, known in (('void', void, VOID_RULES), ('key_dtype', key_dtype, KEY_DTYPES),
                                   ('index', index, INDEXES)):
            if value not in known:
                raise ValueError(f'RetrievalHead: {name}={value!r} is unknown; known are: {", ".join(known)}.')
        self.num_classes = self.num_clusters = self.out_channels = num_classes
        self.k = k
        self.temperature = temperature
        self.memory_size = memory_size
        self.passes = passes
        self.ignore_index = ignore_index
        self.void = void
        self.seed = seed
        self.key_dtype = key_dtype
        self.index = index
        self.num_lists, self.num_probes = num_lists, num_probes
        self.in_index = in_index
        self.debias = build_debias(debias)

    def reset(self) -> None:
        """Forget the memory."""
        super().reset()
        self.sharded = False
        self._inverted_file: InvertedFile | None = None

    def settings(self) -> dict[str, Any]:
        """The number of classes and the debias; k, temperature and index may change after fitting."""
        return dict(num_classes=self.num_classes, **self.debias_settings())

    @torch.no_grad()
    def fit(self, stream: Iterable[FeatureBatch]) -> None:
        """Fill the memory; with several processes each from its own images.

        Raises:
            ValueError: If there is no image, no label, no pixel with a class, a label out of range, a feature with NaN,
                or fewer patches than `k`. With several processes it is raised on all of them.
        """
        settings = MemorySettings(self.num_classes, self.memory_size, self.passes, self.ignore_index, self.void,
                                  self.seed, KEY_DTYPES[self.key_dtype])
        self.reset()
        memory: dict[str, Tensor] = {}

        def read() -> dict[str, int]:
            memory['keys'], memory['counts'], numbers = read_memory(stream, settings, self.debiased)
            rows, channels = memory['keys'].shape
            return dict(numbers, rows=rows, channels=channels, bits=torch.iinfo(memory['counts'].dtype).bits)

        parts = gather_parts(read)
        info, bits = broadcast_result(lambda: self._total(parts))
        if not len(memory['keys']):  # this process read no image, or void ones
            memory['keys'] = torch.zeros(0, info['channels'], dtype=settings.key_dtype)
        memory['counts'] = memory['counts'].to({8: torch.uint8, 16: torch.int16, 32: torch.int32}[bits])
        self.keep(memory, info)
        self.sharded = get_dist_info()[1] > 1

    def _total(self, parts: Sequence[dict[str, int]]) -> tuple[dict[str, int], int]:
        """Numbers of all processes together, checked; and the type of counts that holds all."""
        info = {name: sum(part[name] for part in parts) for name in ('images', 'void_images', 'patches', 'rows')}
        info.update(passes=self.passes, channels=max(part['channels'] for part in parts))
        if not info['images']:
            raise ValueError('RetrievalHead saw no image: the data set of fit_dataloader is empty.')
        if not info['patches']:
            raise ValueError(f'None of the pixels of {info["images"]} images has a class: all are labelled 255 or '
                             f'ignore_index={self.ignore_index}. Check the masks, reduce_zero_label and ignore_index.')
        check_k(self.k, info['rows'])
        rows, size = info['rows'], self.memory_size
        text = (f'Patch memory: {rows} of {info["patches"]} patches from {info["images"]} images in {self.passes} '
                'pass(es)')
        if info['void_images']:
            text += f'; {info["void_images"]} images have no pixel with a class'
        if size is not None and rows > size:
            text += f'; more than memory_size={size}, since every image and pass gives at least one'
        elif size is not None and rows < size // 2:
            text += f'; memory_size={size} is larger than the data'
        print_log(f'{text}.', logger='current')
        return info, max(part['bits'] for part in parts)

    def gathered_state(self) -> dict[str, Tensor] | None:
        """The memory of all processes, as entries of `state_dict`, on the main one; None elsewhere. Collective."""
        if not self.sharded:
            return {name: getattr(self, name) for name in self.STATE}
        parts = gather_object([getattr(self, name).cpu() for name in self.STATE], dst=0)
        if parts is None:
            return None
        return {name: torch.cat([part[index] for part in parts]) for index, name in enumerate(self.STATE)}

    def _load_from_state_dict(self, *args: Any) -> None:
        """The whole memory, on every process."""
        super()._load_from_state_dict(*args)
        self.sharded, self._inverted_file = False, None

    @torch.no_grad()
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Soft labels (B, C, h, w) float32 of the backbone's maps; they sum to 1 over the classes.

        Raises:
            NotFittedError: If nothing was fitted or loaded.
            ValueError: If the maps have another number of channels than the keys, or the memory fewer keys than `k`.
        """
        self.require_fitted()
        with torch.autocast(maps[self.in_index].device.type, enabled=False):
            features = self.debiased(maps)
            batch, channels, height, width = features.shape
            if channels != self.keys.shape[1]:
                raise ValueError(f'RetrievalHead has keys of {self.keys.shape[1]} channels, but the backbone gives '
                                 f'{channels}: the memory belongs to another backbone or in_index.')
            queries = F.normalize(features, dim=1).permute(0, 2, 3, 1).reshape(-1, channels)
            soft = [mix_labels(similarities, soft_labels(counts), self.temperature)
                    for similarities, counts in self._neighbours(queries)]
            return torch.cat(soft).view(batch, height, width, -1).permute(0, 3, 1, 2)

    def _neighbours(self, queries: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Cosines (q, k) and counts (q, k, C) of the queries (Q, D), some at a time, in order."""
        if torch.compiler.is_compiling():  # an exported graph has no parts, whose number would fix the batch
            similarities, rows = (queries @ self.keys.to(queries).T).topk(self.k)
            yield similarities, self.counts[rows]
            return
        step = max(1, LABEL_CHUNK // (self.k * self.num_classes))
        if not self.sharded:
            check_k(self.k, len(self.keys))
            for part in queries.split(step):
                yield self._search(part)
            return
        for owner, asked in enumerate(gather_queries(queries)):
            for part in asked.split(step):
                found = merge_shards(*self._search(part), self.k, owner)
                if found is not None:
                    yield found

    def _search(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines (q, m) and counts (q, m, C) in the keys of this process, m = min(k, number of keys)."""
        k = min(self.k, len(self.keys))
        if k == 0:
            return queries.new_zeros(len(queries), 0), self.counts.new_zeros(len(queries), 0, self.num_classes)
        if self.index != 'ivf':
            similarities, rows = search(queries, self.keys, k, self.index)
        else:
            if self._inverted_file is None:
                self._inverted_file = InvertedFile(self.keys, self.num_lists, self.num_probes, self.seed)
            similarities, rows = self._inverted_file.search(queries, k)
        return similarities, self.counts[rows.clamp(min=0)]

    def predict(self, batch: FeatureBatch | Sequence[Tensor], batch_img_metas: list[dict] | None = None,
                test_cfg: dict | None = None) -> Prediction | Tensor:
        """Soft labels as scores (1, B, C, h, w).

        mmseg's EncoderDecoder calls this with maps and metainfo instead: it gets scores at the size of the image.
        """
        if batch_img_metas is not None:
            return self.image_scores(batch, batch_img_metas)
        scores = self(batch.features.maps)
        return Prediction(None, batch.extents_on(tuple(scores.shape[-2:])), self.num_classes, scores[None])
