"""Sixteen floats at once, for compiled code: what the vector units of a processor with AVX-512 work on.

Exponentials and the like are those of the library (Sleef) that PyTorch brings and calls itself, so they give its bits.
"""

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

LANES = 16

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_WHOLE = ir.VectorType(ir.IntType(32), LANES)
_COUNT = ir.IntType(64)
_FMA, _FLOOR, _NEAREST = "llvm.fma.v16f32", "llvm.floor.v16f32", "llvm.nearbyint.v16f32"

_generator: Any = cgutils


def _intrinsic(function: Callable[..., Any]) -> Any:
    return intrinsic(function)


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes_type: Any = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _known(name: str) -> str:
    """A function that PyTorch's library holds, made known to the compiler under its name there."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    llvm.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    return name


_EXP, _TANH = _known("Sleef_expf16_u10"), _known("vmsTanh")
_AS_PYTORCH = 0x140102
"""of `vmsTanh`: high accuracy, denormal numbers kept, errors ignored"""


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """The address of element `at` of an array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [at])


def _splat(builder: Any, value: Any) -> Any:
    lanes = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(lanes, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_WHOLE, [0] * LANES))


def _load(builder: Any, place: Any) -> Any:
    loaded = builder.load(builder.bitcast(place, _VECTOR.as_pointer()))
    loaded.align = 4
    return loaded


def _store(builder: Any, value: Any, place: Any) -> None:
    builder.store(value, builder.bitcast(place, _VECTOR.as_pointer())).align = 4


def _called(builder: Any, name: str, *given: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(given))
    return builder.call(_generator.get_or_insert_function(builder.module, kind, name), given)


@_intrinsic
def loaded(typing: Any, array: Any, at: Any) -> Any:
    """The sixteen floats of `array` from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        at = context.cast(builder, given[1], signature.args[1], types.int64)
        return _load(builder, _place(context, builder, signature.args[0], given[0], at))

    return lanes_type(array, at), generate


@_intrinsic
def stored(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Writes sixteen floats to `array` from `at` on."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        at = context.cast(builder, given[1], signature.args[1], types.int64)
        _store(builder, given[2], _place(context, builder, signature.args[0], given[0], at))
        return context.get_dummy_value()

    return types.void(array, at, value), generate


@_intrinsic
def each(typing: Any, value: Any) -> Any:
    """Sixteen times the same."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _splat(builder, context.cast(builder, given[0], signature.args[0], types.float32))

    return lanes_type(value), generate


def _operation(work: Callable[..., Any], operands: int) -> Any:
    """An operation lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return work(builder, *given)

    if operands == 1:
        return _intrinsic(lambda typing, a: (lanes_type(a), generate))
    if operands == 2:
        return _intrinsic(lambda typing, a, b: (lanes_type(a, b), generate))
    return _intrinsic(lambda typing, a, b, c: (lanes_type(a, b, c), generate))


add = _operation(lambda builder, a, b: builder.fadd(a, b), 2)
sub = _operation(lambda builder, a, b: builder.fsub(a, b), 2)
mul = _operation(lambda builder, a, b: builder.fmul(a, b), 2)
div = _operation(lambda builder, a, b: builder.fdiv(a, b), 2)
fma = _operation(lambda builder, a, b, c: _called(builder, _FMA, a, b, c), 3)
"""a times b, plus c, rounded once"""
nearest = _operation(lambda builder, a: _called(builder, _NEAREST, a), 1)
most = _operation(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b), 2)
exp = _operation(lambda builder, a: _called(builder, _EXP, a), 1)


@_intrinsic
def lane(typing: Any, value: Any, at: Any) -> Any:
    """The float in one lane."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.extract_element(given[0], context.cast(builder, given[1], signature.args[1], types.int32))

    return types.float32(value, at), generate


def block(rows: int, vectors: int) -> Any:
    """The product of `rows` rows and `vectors` times sixteen columns, a sum a column, one term after the other:

    block(a, a_at, a_stride, b, b_at, b_stride, terms, base, base_at, base_stride, out, out_at, out_stride)

    gives out[r, c] = base[r, c] + the sum over k of a[r, k] b[k, c]; of each matrix, flat, the place of its first
    element and the floats from one row to the next.
    """

    zeros = ir.Constant(_VECTOR, [0.0] * LANES)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        numbers = [
            value if isinstance(kind, types.Array) else context.cast(builder, value, kind, types.int64)
            for kind, value in zip(signature.args, given, strict=True)
        ]
        a, a_at, a_stride, b, b_at, b_stride, terms, base, base_at, base_stride, out, out_at, out_stride = numbers

        def start(which: int, array: Any, at: Any) -> Any:
            return _place(context, builder, signature.args[which], array, at)

        def rows_of(first: Any, stride: Any) -> list[Any]:
            return [builder.gep(first, [builder.mul(stride, ir.Constant(_COUNT, row))]) for row in range(rows)]

        def columns_of(row: Any) -> list[Any]:
            return [builder.gep(row, [ir.Constant(_COUNT, LANES * v)]) for v in range(vectors)]

        sums = [[_generator.alloca_once(builder, _VECTOR) for _ in range(vectors)] for _ in range(rows)]
        for place in (one for row in sums for one in row):
            builder.store(zeros, place)
        a_rows, b_start = rows_of(start(0, a, a_at), a_stride), start(3, b, b_at)
        with _generator.for_range(builder, terms) as loop:
            line = builder.gep(b_start, [builder.mul(b_stride, loop.index)])
            factors = [_load(builder, place) for place in columns_of(line)]
            for a_row, row in zip(a_rows, sums, strict=True):
                factor = _splat(builder, builder.load(builder.gep(a_row, [loop.index])))
                for other, place in zip(factors, row, strict=True):
                    builder.store(_called(builder, _FMA, factor, other, builder.load(place)), place)
        lines = rows_of(start(7, base, base_at), base_stride), rows_of(start(10, out, out_at), out_stride)
        for row, from_row, to_row in zip(sums, *lines, strict=True):
            for place, before, after in zip(row, columns_of(from_row), columns_of(to_row), strict=True):
                _store(builder, builder.fadd(_load(builder, before), builder.load(place)), after)
        return context.get_dummy_value()

    def typed(
        typing: Any,
        a: Any,
        a_at: Any,
        a_stride: Any,
        b: Any,
        b_at: Any,
        b_stride: Any,
        terms: Any,
        base: Any,
        base_at: Any,
        base_stride: Any,
        out: Any,
        out_at: Any,
        out_stride: Any,
    ) -> Any:
        whole = a, a_at, a_stride, b, b_at, b_stride, terms, base, base_at, base_stride, out, out_at, out_stride
        return types.void(*whole), generate

    return _intrinsic(typed)


def _bits(pattern: int) -> Any:
    """Sixteen times the float of these bits."""
    return _number(struct.unpack("f", struct.pack("I", pattern))[0])


def _number(value: float) -> Any:
    return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)


def _quick_exp(builder: Any, values: Any) -> Any:
    """2^n times a polynomial of the rest."""

    def fma_of(*given: Any) -> Any:
        return _called(builder, _FMA, *given)

    lowest, highest = _bits(0xC2AEAC50), _bits(0x42B17218)
    below = builder.fcmp_ordered("<", values, lowest)
    inside = builder.select(builder.fcmp_ordered("<", values, highest), values, highest)
    inside = builder.select(builder.fcmp_ordered(">", inside, lowest), inside, lowest)
    power = _called(builder, _FLOOR, fma_of(inside, _bits(0x3FB8AA3B), _number(0.5)))
    rest = fma_of(builder.fneg(power), _bits(0x3F317218), inside)
    result = _number(0.00828929059)
    for term in (0.0418978221, 0.166676521, 0.499991506, 0.999999701, 1.0):
        result = fma_of(rest, result, _number(term))
    whole = builder.fptosi(builder.fsub(power, _number(1.0)), _WHOLE)
    raised = builder.shl(builder.add(whole, ir.Constant(_WHOLE, [127] * LANES)), ir.Constant(_WHOLE, [23] * LANES))
    scale = builder.select(below, _number(0.0), builder.bitcast(raised, _VECTOR))
    return builder.fmul(builder.fmul(result, scale), _number(2.0))


quick_exp = _operation(_quick_exp, 1)
"""the exponential of PyTorch's attention, right to 20 units in the last place"""


@_intrinsic
def paired(typing: Any, array: Any, first: Any, second: Any) -> Any:
    """Eight floats of `array` from `first` on, then eight from `second` on."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        halves = []
        for at, kind in zip(given[1:], signature.args[1:], strict=True):
            place = _place(context, builder, signature.args[0], given[0], context.cast(builder, at, kind, types.int64))
            half = builder.load(builder.bitcast(place, ir.VectorType(_FLOAT, LANES // 2).as_pointer()))
            half.align = 4
            halves.append(half)
        return builder.shuffle_vector(*halves, ir.Constant(_WHOLE, list(range(LANES))))

    return lanes_type(array, first, second), generate


@_intrinsic
def single_fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a times b, plus c, rounded once, of three single floats."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        numbers = [context.cast(builder, v, k, types.float32) for v, k in zip(given, signature.args, strict=True)]
        kind = ir.FunctionType(_FLOAT, [_FLOAT] * 3)
        return builder.call(_generator.get_or_insert_function(builder.module, kind, "llvm.fma.f32"), numbers)

    return types.float32(a, b, c), generate


def _folded(work: Callable[..., Any]) -> Any:
    """All lanes into one, halves with halves, as PyTorch folds them."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        value, width = given[0], LANES
        while width > 1:
            width //= 2
            low = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(width)))
            high = ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(width, 2 * width)))
            a, b = builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high)
            value = work(builder, a, b)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return _intrinsic(lambda typing, a: (types.float32(a), generate))


total = _folded(lambda builder, a, b: builder.fadd(a, b))
highest = _folded(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


@_intrinsic
def tanh_of(typing: Any, array: Any, count: Any) -> Any:
    """Replaces the first `count` floats of `array` by their hyperbolic tangents."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        whole, place = ir.IntType(32), _FLOAT.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [whole, place, place, _COUNT])
        data = context.make_array(signature.args[0])(context, builder, given[0]).data
        number = context.cast(builder, given[1], signature.args[1], types.int32)
        called = _generator.get_or_insert_function(builder.module, kind, _TANH)
        builder.call(called, [number, data, data, ir.Constant(_COUNT, _AS_PYTORCH)])
        return context.get_dummy_value()

    return types.void(array, count), generate
