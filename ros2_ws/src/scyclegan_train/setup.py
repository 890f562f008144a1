"""Install scyclegan_train as an ament_python package."""

from setuptools import find_packages, setup

NAME = "scyclegan_train"

setup(
    name=NAME,
    version="0.1.0",
    description="Training of the S-CycleGAN generator that us_sim renders with",
    license="Apache-2.0",
    maintainer="The us_sim authors",
    maintainer_email="us_sim@users.noreply.github.com",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "configs/*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    entry_points={
        "console_scripts": [
            f"{NAME} = {NAME}.__main__:main",
            # For `ros2 run scyclegan_train train`.
            *(f"{command} = {NAME}.{command}:main" for command in ("prepare", "train", "evaluate", "export")),
        ]
    },
    zip_safe=False,
)
