"""Drawings that look like colour fundus photographs, for a first run without data and for tests.

They are drawings: lines, blots and noise put together so that they look plausible at a glance and so that a small model
can learn to tell the five grades apart. The lesions follow the words of the international clinical scale of diabetic
retinopathy (Wilkinson et al., Ophthalmology 2003;110:1677-82): 1 microaneurysms only; 2 also haemorrhages, hard
exudates; 3 many haemorrhages in all quadrants, cotton-wool spots; 4 new vessels, preretinal haemorrhage, laser scars.
Their number, size and look are invented. No medical realism is claimed, and nothing learnt here says anything about
patients.

A right eye is drawn in coordinates of its own: the origin is the centre of the field of view, its radius is 1, x grows
to the right and y downwards; the optic disc lies to the right. A left eye is its mirror image.
"""

from prebake.fundus_art.drawing import Eye, draw
from prebake.fundus_art.photographs import Drawing, generate, plan

__all__ = ["Drawing", "Eye", "draw", "generate", "plan"]
