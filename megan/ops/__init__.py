"""Operations on tensors with a leading task axis, closed under differentiation.

During adaptation every task has its own weights, so each operation here takes weights
[tasks, ...] and images [tasks, images, height, width, channels] and computes all tasks at
once. `convolution` and `normalisation` hold the rules of differentiation. `kernels` chooses
how a device computes them.
"""
