"""What is done to the pixels of a fundus photograph: crops, the field of view, the local average, masks; all pure.

Coordinates are of pixel centres: x to the right, y down, (0, 0) the centre of the first pixel.
"""

from prebake.fundus.average import inside, subtract_average, subtract_average_inside
from prebake.fundus.disc import Disc, fit_disc, graham_radius
from prebake.fundus.likeness import perceptual_hash
from prebake.fundus.shape import resize, sample_square, tolerance_crop, tolerance_crop_resized

__all__ = [
    "Disc",
    "fit_disc",
    "graham_radius",
    "inside",
    "perceptual_hash",
    "resize",
    "sample_square",
    "subtract_average",
    "subtract_average_inside",
    "tolerance_crop",
    "tolerance_crop_resized",
]
