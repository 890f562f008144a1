#!/usr/bin/env bash
# Says what this machine lacks for the set-up: one line for each, with the package to install. Names are Debian's and Ubuntu's.
set -euo pipefail

python=${PYTHON:-python3}
missing=0

lacks() {  # lacks <what was found> <remedy>
    echo "us_sim: $1; $2" >&2
    missing=1
}

have() { command -v "$1" >/dev/null 2>&1; }

system="$(uname -s) $(uname -m)"
case $system in
    "Linux x86_64") ;;
    "Linux aarch64") [[ -n ${ROS_DISTRO:-} ]] && have ros2 ||
        lacks "this is $system, for which there are no ROS 2 wheels" "install ROS 2 (ros-jazzy-ros-base) and source it first" ;;
    *) lacks "this is $system" "Linux is needed, x86_64, or aarch64 with a ROS 2 installation" ;;
esac

check_python() {
    if ! have "$python"; then
        lacks "no '$python' found" "install python3 (3.10 to 3.13), or name another one: make PYTHON=/path/to/python3.12"
        return
    fi
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo "of no readable version")
    case $version in
        3.10 | 3.11 | 3.12 | 3.13) ;;
        *)  lacks "'$python' is Python $version" "install python3.10 to python3.13 and name it: make PYTHON=python3.12"
            return ;;
    esac
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        lacks "Python $version has no module venv or ensurepip" "install python$version-venv (or python3-venv)"
    "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_paths()["include"] + "/Python.h")' 2>/dev/null ||
        lacks "Python $version has no header Python.h" "install python$version-dev (or python3-dev)"
}

check_cmake() {
    local version
    if ! have cmake; then
        lacks "no CMake found" "install cmake (3.16 or newer)"
        return
    fi
    version=$(cmake --version | head -n 1 | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
    [[ $(printf '%s\n' 3.16 "$version" | sort -V | head -n 1) == 3.16 ]] ||
        lacks "CMake is $version" "install cmake 3.16 or newer"
}

check_python
have "${CC:-cc}" || lacks "no C compiler '${CC:-cc}' found" "install gcc"
have "${CXX:-c++}" || lacks "no C++ compiler '${CXX:-c++}' found" "install g++"
have make || lacks "no make found" "install make"
check_cmake
exit "$missing"
