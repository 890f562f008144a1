"""Install scyclegan_train, by pip or as an ament_python package."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

NAME = "scyclegan_train"
LOGGERS = {"wandb": ">=0.18,<1", "mlflow": ">=2.9,<4"}  # extras: curves beside TensorBoard's, by Lightning's loggers
HERE = Path(__file__).resolve().parent  # colcon runs a link to this file in its build folder
XML = ElementTree.parse(HERE / "package.xml")  # single source of version, description and the like

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
    install_requires=[f"us_sim[train]=={XML.findtext('version')}"],
    extras_require={
        "test": ["pytest", "us_sim[test]"],  # colcon test looks for pytest
        **{logger: ["lightning>=2.4,<3", logger + bounds] for logger, bounds in LOGGERS.items()},
    },
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={"": ["*.pyi"], NAME: ["py.typed", "configs/*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    entry_points={
        "console_scripts": [
            f"{NAME} = {NAME}.__main__:main",
            # For `ros2 run scyclegan_train train`.
            *(
                f"{command} = {NAME}.{command}:main"
                for command in ("prepare", "train", "evaluate", "export", "synthesise")
            ),
        ]
    },
    zip_safe=False,
)
