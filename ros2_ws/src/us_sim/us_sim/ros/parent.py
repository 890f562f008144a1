# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Processes that do not outlive the one that started them. Light: it is imported before anything else is."""

from __future__ import annotations

import ctypes
import os

PARENT = "US_SIM_PARENT"  # environment variable: id of the process that this one is not to outlive
PR_SET_PDEATHSIG = 1  # of prctl(2)


def die_with(parent: int, number: int) -> None:
    """Let the kernel send this process a signal when its parent, of this id, is gone, even killed by SIGKILL."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(number))
    if os.getppid() != parent:  # it went before that
        os._exit(1)


def die_with_named_parent(number: int) -> None:
    """Do so for the parent that PARENT names, if it names one; children of this process do not inherit it."""
    if PARENT in os.environ:
        die_with(int(os.environ.pop(PARENT)), number)
