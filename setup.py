"""Build script: where the packages lie. Metadata and tool settings are in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["cavs_dist", "cavs_dist.*"]),
        *find_packages("kernels", include=["cavs_kernels", "cavs_kernels.*"]),
        "cavs_dist.configs",
        "cavs_dist.slurm",
    ],
    package_dir={
        "cavs_kernels": "kernels/cavs_kernels",
        "cavs_dist.configs": "configs",
        "cavs_dist.slurm": "slurm",
    },
    package_data={
        "cavs_dist": ["py.typed", "report/**/*.html", "data/scenes/bank/**/*"],
        "cavs_dist.configs": ["**/*.yaml"],
        "cavs_dist.slurm": ["*.sbatch", "*.md"],
        "cavs_kernels": ["py.typed"],
    },
)
