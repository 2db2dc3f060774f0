"""Golden checks: the forward pass of backbone, projection head and prototypes."""

import torch

from tests.golden.cases import golden_case
from tests.models.backbones.builders import all_tokens, flat_patches, vit_and_head

ATOL = 1e-5


@golden_case('leopart', 'vit_head_forward')
@torch.no_grad()
def check_vit_head_forward(arrays):
    data = {name: torch.as_tensor(value) for name, value in arrays.items()}
    weights = {name[2:]: value for name, value in data.items() if name.startswith('w.')}
    vit, head = vit_and_head(weights, int(data['num_heads']))
    assert vit.patch_size == int(data['patch_size'])
    crops = [data[f'crop_{i}'] for i in range(sum(name.startswith('crop_') for name in data))]
    global_side = max(crop.shape[-1] for crop in crops)
    global_crops = torch.cat([crop for crop in crops if crop.shape[-1] == global_side])
    local_crops = [crop for crop in crops if crop.shape[-1] < global_side]

    embeddings, attention = [], None
    for batch in [global_crops] + ([torch.cat(local_crops)] if local_crops else []):
        features = vit.forward_dense(batch, cls_attention=True)
        embeddings.append(head(flat_patches(features.maps[0])).flatten(0, 1))
        attention = features.cls_attention if attention is None else attention
    for name, ours in [('global', embeddings[0]), ('all_crops', torch.cat(embeddings))]:
        _close(ours, data[f'embeddings_{name}'])
        _close(ours @ weights['prototypes.weight'].T, data[f'scores_{name}'])
    _close(attention, data['cls_attention_global'])
    _close(all_tokens(vit, data['crop_0']), data['tokens_crop0'])
    _close(all_tokens(vit, data['big_image']), data['tokens_big'])


def _close(ours, recorded):
    torch.testing.assert_close(ours, recorded, atol=ATOL, rtol=0)
