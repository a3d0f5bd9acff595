"""satgan: distributed training of a DCGAN on satellite tiles with Ray."""

__version__ = "0.1.0"
