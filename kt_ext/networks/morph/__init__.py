"""A child network begins with the weights and the optimizer state of its parent."""

from kt_ext.nas.preserve import NotPreserved
from kt_ext.networks.morph.inherit import Inherited, inherit

__all__ = ["Inherited", "NotPreserved", "inherit"]
