"""Kernels: ndarray in, ndarray out; no axis names, no input or output, no state.

- `windows`: fold the samples of each window with a ufunc; divide sums once, half to even.
- `ranks`: median and mode of each window.
- `filters`: gaussian smoothing that reduces, and its expansion.
"""
