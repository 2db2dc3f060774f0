# Batch-wise cosine k-means on a folder of images without labels, features of DINO ViT-S/8 at 320 x 320: the first
# prototypes of primaps_dino-vits8_folder.py with epochs=2, which tools/primaps.py makes by itself.
_base_ = [
    '../_base_/models/primaps_kmeans.py', '../_base_/datasets/kmeans_folder.py',
    '../_base_/schedules/primaps_kmeans_50e.py', '../_base_/probe_runtime.py'
]
data_root = 'data/images'
batch_size = 32
num_classes = 27
model = dict(linear_probe=None)
train_dataloader = dict(batch_size=batch_size)
