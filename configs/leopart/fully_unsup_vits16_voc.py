# Leopart "+CD" (Table 5): fully unsupervised segmentation of Pascal VOC val, ViT-S/16 fine-tuned by Leopart.
# Published: 41.7 mIoU (K = 149, Markov time 2, edge threshold 0.09); the reproduction of 20 runs: 35.2.
# Published masks are DINO's: add model.postprocessors.foreground.masks.backbone as in fully_unsup_vits16_voc_published.py.
_base_ = './_base_/fully_unsup.py'
