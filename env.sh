# Source this in bash or zsh, from any folder: python, colcon and, where it is installed, ros2 see the workspace.
# Leaves the shell's options as they were, and may be sourced again.

if [ -n "${ZSH_VERSION:-}" ]; then
    eval '_us_sim_root=${${(%):-%x}:A:h}'
    _us_sim_setup=local_setup.zsh
else
    _us_sim_root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    _us_sim_setup=local_setup.bash
fi
_us_sim_ros=wheels
if [ -n "${ROS_DISTRO:-}" ] && command -v ros2 >/dev/null; then _us_sim_ros=$ROS_DISTRO; fi

_us_sim_wrong=
if [ ! -f "$_us_sim_root/.venv/workspace.stamp" ] || [ ! -f "$_us_sim_root/ros2_ws/install/$_us_sim_setup" ]; then
    _us_sim_wrong="not set up yet"
elif [ "$(cat "$_us_sim_root/.venv/ros")" != "$_us_sim_ros" ]; then
    _us_sim_wrong="set up for ROS 2 from '$(cat "$_us_sim_root/.venv/ros")', but this shell has '$_us_sim_ros'"
fi
if [ -n "$_us_sim_wrong" ]; then
    echo "us_sim: $_us_sim_wrong; run: make -C '$_us_sim_root' setup" >&2
    unset _us_sim_root _us_sim_setup _us_sim_ros _us_sim_wrong
    return 1
fi

case $- in *u*) _us_sim_nounset=yes ;; *) _us_sim_nounset= ;; esac
case $- in *e*) _us_sim_errexit=yes ;; *) _us_sim_errexit= ;; esac
set +eu   # the files sourced here are generated ones that read unset variables

. "$_us_sim_root/.venv/bin/activate"
if [ "$_us_sim_ros" = wheels ]; then
    case ":${AMENT_PREFIX_PATH:-}:" in
        *":$_us_sim_root/.venv:"*) ;;
        *) export AMENT_PREFIX_PATH="$_us_sim_root/.venv${AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}" ;;
    esac
fi
. "$_us_sim_root/ros2_ws/install/$_us_sim_setup"
case ":$PATH:" in   # us_sim_render and the nodes as commands
    *":$_us_sim_root/ros2_ws/install/us_sim/lib/us_sim:"*) ;;
    *) PATH=$_us_sim_root/ros2_ws/install/us_sim/lib/us_sim:$PATH ;;
esac
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"

if [ -n "$_us_sim_nounset" ]; then set -u; fi
if [ -n "$_us_sim_errexit" ]; then set -e; fi
unset _us_sim_root _us_sim_setup _us_sim_ros _us_sim_wrong _us_sim_nounset _us_sim_errexit
