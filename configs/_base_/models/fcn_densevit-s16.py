# FCN head (docs/methods/leopart.md §9): two 3x3 convolutions on the frozen last map, resized to 100 x 100 in training and to the
# image's size in evaluation, where the masks are.
_base_ = './linear_densevit-s16.py'
model = dict(
    neck=dict(eval_size=(448, 448)),
    decode_head=dict(num_convs=2, kernel_size=3, concat_input=True, channels=512, dropout_ratio=0.1))
