"""Weakly semi-supervised human matting with Matte Label Blending: data, models, blending, training of one model.

Importing this package imports neither torch nor ray; the modules below it do so where they need to.
"""

__version__ = "0.1.0"
