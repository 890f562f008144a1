"""Install us_sim, by pip or as an ament_python package: modules, commands, generators and what launch needs."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

NAME = "us_sim"
EXTRAS = ("int8", "viewer", "train", "cluster", "onnx", "sweep", "gym", "export", "igtl", "bench", "test")
RESOURCES = ("safetensors", "urdf", "xml", "yaml", "html", "js", "css", "json")
HERE = Path(__file__).resolve().parent  # colcon runs a link to this file in its build folder
XML = ElementTree.parse(HERE / "package.xml")  # single source of version, description and the like


def shared(folder: str, source: str) -> tuple[str, list[str]]:
    """Return the data_files entry of one folder of this package."""
    return f"share/{NAME}/{folder}", sorted(str(path) for path in Path(source).glob("*") if path.is_file())


def requirements(file: str) -> list[str]:
    """Return the lines of a requirements file, comments aside."""
    return [line for line in (HERE / file).read_text().splitlines() if line and not line.startswith("#")]


setup(
    name=NAME,
    version=XML.findtext("version"),
    description=XML.findtext("description"),
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license=XML.findtext("license"),
    maintainer=XML.findtext("maintainer"),
    maintainer_email=XML.find("maintainer").attrib["email"],
    python_requires=">=3.10,<3.14",
    install_requires=requirements("requirements.txt"),
    extras_require={extra: requirements(f"requirements-{extra}.txt") for extra in EXTRAS},
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        "": ["*.pyi"],
        NAME: ["py.typed", *(f"resources/*/*.{kind}" for kind in RESOURCES)],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *(shared(folder, folder) for folder in ("launch", "rviz", "foxglove")),
        *(shared(folder, f"{NAME}/resources/{folder}") for folder in ("config", "urdf")),
    ],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            f"{command} = us_sim.commands:{command}"
            for command in (
                "us_sim_render",
                "us_sim_export",
                "us_sim_fit",
                "us_sim",  # this and the following need ROS 2, and say so where it is missing
                "probe_motion",
                "fake_arm",
                "us_sim_viewer",
                "us_sim_igtl",
                "us_sim_scan",
                "us_sim_servo",
                "us_sim_record",
                "us_sim_play",
            )
        ]
    },
)
