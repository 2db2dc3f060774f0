# Leopart "+CD" (Table 5): fully unsupervised segmentation of Pascal VOC val, ViT-S/16 fine-tuned by Leopart; K = 149,
# Markov time 2, edge threshold 0.09. Published masks are those of DINO: see vits16_voc_published.py.
_base_ = '../_base_/fully_unsup.py'
