"""Install us_sim as an ament_python package: modules, commands and the files that launch needs."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "us_sim"


def shared(folder: str) -> tuple[str, list[str]]:
    """Return the data_files entry of one folder of this package."""
    files = sorted(str(path) for path in Path(folder).glob("*") if path.is_file())
    return f"share/{NAME}/{folder}", files


setup(
    name=NAME,
    version="0.1.0",
    description="A simulated ultrasound probe on a patient model made from CT",
    license="Apache-2.0",
    maintainer="The us_sim authors",
    maintainer_email="us_sim@users.noreply.github.com",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *(shared(folder) for folder in ("launch", "config", "rviz", "models", "segmenters", "urdf")),
    ],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "us_sim = us_sim.ros.node:main",
            "probe_motion = us_sim.ros.probe_motion:main",
            "fake_arm = us_sim.ros.fake_arm:main",
            "us_sim_viewer = us_sim.viewer.node:main",
            "us_sim_render = us_sim.offline.render:main",
            "us_sim_scan = us_sim.control.scan:main",
            "us_sim_servo = us_sim.control.servo:main",
            "us_sim_record = us_sim.ros.record:main",
            "us_sim_play = us_sim.ros.play:main",
        ]
    },
)
