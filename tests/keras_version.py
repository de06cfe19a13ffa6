"""The version of Keras, for tests of what older ones cannot do."""

from __future__ import annotations

import keras

#: Major and minor, e.g. (3, 15).
KERAS = tuple(int(number) for number in keras.__version__.split(".")[:2])
