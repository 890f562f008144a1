# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""To ask for memory before it is read: places far apart then wait for each other no more than the processor must.

A module, not a name, is what loops import from here: `cache` then sees when it changes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # numba brings it
from numba.core import types
from numba.extending import intrinsic, overload

LOCALITY = 3  # keep it in all caches


def line_of(array: Any, place: Any) -> None:
    """Ask for the cache line of an element of a (N,) array, inside a compiled loop; elsewhere nothing happens."""


@overload(line_of)
def _line_of(array, place):  # type: ignore[no-untyped-def]  # numba compares it with the lambda
    return lambda array, place: _ask(array, place)


@intrinsic
def _ask(context: Any, array: Any, place: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, data = ir.IntType(32), target.make_array(signature.args[0])(target, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(ask, [address, number(0), number(LOCALITY), number(1)])  # to read, of data
        return target.get_dummy_value()

    return types.void(array, place), generate
