"""How functions of arrays become machine code. It imports the compiler."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., object])
_njit: Any = partial(njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)


def compiled(function: Function) -> Function:
    """The same function as a part of machine code. It makes no arrays, so nobody counts who refers to them."""
    return cast(Function, _njit(no_cpython_wrapper=True, _nrt=False)(function))


def making_arrays(function: Function) -> Function:
    """The same, for one that makes arrays."""
    return cast(Function, _njit(no_cpython_wrapper=True)(function))


def inlined(function: Function) -> Function:
    """The same as a part of whatever calls it: a call hands over the shape and strides of every array."""
    return cast(Function, _njit(inline="always")(function))


def kept(function: Function) -> Function:
    """The same function in machine code, with its parts kept on disk; other threads go on while it runs."""
    return cast(Function, _njit(cache=True)(function))


def kept_uncounted(function: Function) -> Function:
    """The same, for one that makes no arrays: nobody counts who refers to them."""
    return cast(Function, _njit(cache=True, _nrt=False)(function))
