"""How a prepared picture and the part of it that a network sees belong together; pure.

Pictures are prepared a little larger than the network's input, and the network cuts its centre out, so that the same
file of pixels serves training, use and every export.
"""

from __future__ import annotations


def picture_side(network_side: int) -> int:
    """The side in pixels of the pictures for a network that sees `network_side`: in proportion 256 to 224, rounded.

    224 gives 256, 240 gives 274, 260 gives 297, 384 gives 439. The proportion is that of the evaluation of Krizhevsky
    et al., "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012.
    """
    return round(network_side * 256 / 224)


def first_pixel(network_side: int) -> int:
    """Where the centre begins, from the left and from above; an odd pixel of margin is to the right and below."""
    return (picture_side(network_side) - network_side) // 2
