"""The public names of ``kt_ext.nas``."""

from __future__ import annotations

import pytest

from kt_ext import nas


@pytest.mark.parametrize("name", nas.__all__)
def test_every_name_is_there(name):
    assert getattr(nas, name) is not None
    assert name in dir(nas)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(AttributeError, match=r"module 'kt_ext.nas' has no attribute 'CelSpace'; it has .*CellSpace"):
        _ = nas.CelSpace
