"""A straightforward implementation of the published Leopart step, from its description: the yardstick of a benchmark.

Plain DINO ViT with materialised attention, heads on every token, scores and assignments of K channels aligned pair by
pair by torchvision, Sinkhorn on exponentials, a teacher whose activations stay, EMA tensor by tensor.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align


class Block(nn.Module):
    """A transformer block that computes its attention matrix."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2, self.act = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attention = (q @ k.transpose(-2, -1)) * (dim // self.heads)**-0.5
        attention = attention.softmax(dim=-1)
        x = x + self.proj((attention @ v).transpose(1, 2).reshape(batch, tokens, dim))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class PublishedNetwork(nn.Module):
    """ViT, projection head and prototypes in one module, crops in, embeddings and scores of all tokens out."""

    def __init__(self, dim: int, depth: int, heads: int, patch: int, side: int, hidden: int, out: int,
                 num_prototypes: int) -> None:
        super().__init__()
        self.grid = side // patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid**2 + 1, dim))
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.projection_head = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out))
        self.prototypes = nn.Linear(out, num_prototypes, bias=False)

    def positions(self, grid: int) -> Tensor:
        if grid == self.grid:
            return self.pos_embed
        patches = self.pos_embed[:, 1:].reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        scale = (grid + 0.1) / self.grid
        patches = F.interpolate(patches, scale_factor=(scale, scale), mode='bicubic')
        return torch.cat([self.pos_embed[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], 1)

    def backbone(self, images: Tensor) -> Tensor:
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        tokens = tokens + self.positions(patches.shape[-1])
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:]

    def forward(self, crops: list[Tensor]) -> tuple[Tensor, Tensor]:
        outputs = [
            self.backbone(torch.cat(list(group))).flatten(0, 1)
            for _, group in itertools.groupby(crops, key=lambda crop: crop.shape[-1])
        ]
        embeddings = F.normalize(self.projection_head(torch.cat(outputs)), dim=1)
        return embeddings, self.prototypes(embeddings)


@torch.no_grad()
def published_sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Assignments (n, K) by scaling the rows and columns of the matrix itself."""
    matrix = torch.exp(scores / epsilon).t()
    matrix /= matrix.sum()
    num_prototypes, num_tokens = matrix.shape
    for _ in range(iterations):
        matrix /= matrix.sum(dim=1, keepdim=True)
        matrix /= num_prototypes
        matrix /= matrix.sum(dim=0, keepdim=True)
        matrix /= num_tokens
    return (matrix / matrix.sum(dim=0, keepdim=True)).t()


class PublishedStep:
    """One training step after another, with the published order."""

    def __init__(self, student: PublishedNetwork, teacher: PublishedNetwork, patch: int, kernel: int, lr: float,
                 momentum: float) -> None:
        self.student, self.teacher = student, teacher
        self.patch, self.kernel, self.momentum = patch, kernel, momentum
        head = [parameter for name, parameter in student.named_parameters()
                if name.startswith(('projection', 'prototypes'))]
        ids = {id(parameter) for parameter in head}
        backbone = [parameter for parameter in student.parameters() if id(parameter) not in ids]
        self.optimizer = torch.optim.AdamW([
            dict(params=[parameter for parameter in part if (parameter.ndim > 1) == decays], lr=rate,
                 weight_decay=0.04 * decays)
            for part, rate in ((backbone, lr), (head, 10 * lr)) for decays in (True, False)
        ])

    def __call__(self, inputs: dict) -> float:
        for network in (self.student, self.teacher):
            with torch.no_grad():
                network.prototypes.weight.copy_(F.normalize(network.prototypes.weight, dim=1))
        crops, gc_boxes, all_boxes = inputs['crops'], inputs['gc_boxes'], inputs['all_boxes']
        num_global = gc_boxes.shape[1]
        _, teacher_scores = self.teacher(crops[:num_global])  # with gradients enabled, as published
        _, student_scores = self.student(crops)
        loss = self.loss(teacher_scores, student_scores, crops, gc_boxes, all_boxes)
        with torch.no_grad():
            for ours, theirs in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                ours.data.mul_(self.momentum).add_((1 - self.momentum) * theirs.detach().data)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def loss(self, teacher_scores: Tensor, student_scores: Tensor, crops: list[Tensor], gc_boxes: Tensor,
             all_boxes: Tensor) -> Tensor:
        batch, num_global, num_crops = gc_boxes.shape[:3]
        k = self.kernel
        maps, start = [], 0
        for crop in crops:
            grid = crop.shape[-1] // self.patch
            part = student_scores[start:start + batch * grid * grid]
            maps.append(part.reshape(batch, grid, grid, -1).permute(0, 3, 1, 2))
            start += batch * grid * grid
        total = 0.
        for t in range(num_global):
            grid = crops[t].shape[-1] // self.patch
            tokens = batch * grid * grid
            assignments = published_sinkhorn(teacher_scores[t * tokens:(t + 1) * tokens].detach(), 0.05, 3)
            assignments = assignments.reshape(batch, grid, grid, -1).permute(0, 3, 1, 2)
            aligned = roi_align(assignments, list(gc_boxes[:, t] / self.patch), k, aligned=True)
            loss = 0.
            for v in range(num_crops):
                if v == t:
                    continue
                boxes = [box for box in all_boxes[:, v, t].unsqueeze(1) / self.patch]
                scores = roi_align(maps[v], boxes, k, aligned=True) / 0.1
                prediction = F.softmax(scores, dim=1)
                loss = loss - (aligned[v::num_crops] * torch.log(prediction)).sum(1).mean()
            total = total + loss / (num_crops - 1)
        return total / num_global
