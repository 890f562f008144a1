# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The label sets of the field, one table: label value -> structure, where it is published, how its files are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from us_sim.core.errors import PatientError
from us_sim.core.patient.naming import totalsegmentator
from us_sim.core.patient.naming.structures import classes_of_names
from us_sim.core.tissue import TissueClass


@dataclass(frozen=True, eq=False)
class Scheme:
    """A published label set.

    Attributes:
        names: label value -> structure; 0 is unlabelled everywhere.
        source: where the table comes from.
        file: pattern that `folder/file` of a label map of the set matches; empty where its files have no usual name.
    """

    names: dict[int, str]
    source: str
    file: str = ""

    @cached_property
    def classes(self) -> dict[int, TissueClass | None]:
        """Label value -> class; None for a region that holds many tissues."""
        return classes_of_names(self.names)

    def is_named_in(self, path: Path) -> bool:
        """Whether the file is called as the set's files are."""
        return bool(self.file) and re.search(self.file, f"{path.absolute().parent.name}/{path.name}") is not None


def _numbered(*names: str) -> dict[int, str]:
    return dict(enumerate(names, start=1))


_END = r"(\.nii|\.nii\.gz|\.nrrd|\.mha)$"
_TOTALSEG = "github.com/wasserth/TotalSegmentator, totalsegmentator/map_to_binary.py"
_MSD = "Antonelli et al. 2022, Medical Segmentation Decathlon, dataset.json of the task"
_FLARE = ("liver", "kidney_right", "spleen", "pancreas", "aorta", "inferior_vena_cava", "adrenal_gland_right",
          "adrenal_gland_left", "gallbladder", "esophagus", "stomach", "duodenum", "kidney_left")  # fmt: skip
_ATLAS = ("aorta", "gall_bladder", "kidney_left", "kidney_right", "liver", "pancreas", "postcava", "spleen",
          "stomach")  # fmt: skip
_ATLAS_1_1 = (
    *_ATLAS, "adrenal_gland_left", "adrenal_gland_right", "bladder", "celiac_trunk", "colon", "duodenum", "esophagus",
    "femur_left", "femur_right", "hepatic_vessel", "intestine", "lung_left", "lung_right",
    "portal_vein_and_splenic_vein", "prostate", "rectum",
)  # fmt: skip

SCHEMES: dict[str, Scheme] = {
    "abdomenct1k": Scheme(
        _numbered("liver", "kidney", "spleen", "pancreas"),
        "Ma et al. 2022, AbdomenCT-1K; FLARE 2021 has the same",
        rf"/Case_\d{{5}}{_END}",
    ),
    "totalsegmentator": Scheme(_numbered(*totalsegmentator.TOTAL), f"{_TOTALSEG}, task total", r"(?i)/.*total_?seg"),
    "totalsegmentator_v1": Scheme(
        _numbered(*totalsegmentator.TOTAL_V1), f"{_TOTALSEG}, class_map total_v1", r"(?i)/.*total_?seg"
    ),
    "amos": Scheme(
        _numbered(
            "spleen", "kidney_right", "kidney_left", "gallbladder", "esophagus", "liver", "stomach", "aorta",
            "inferior_vena_cava", "pancreas", "adrenal_gland_right", "adrenal_gland_left", "duodenum", "bladder",
            "prostate_or_uterus",
        ),
        "Ji et al. 2022, AMOS22, dataset.json",
        rf"(?i)/amos_?\d+{_END}",
    ),
    "btcv": Scheme(
        _numbered(
            "spleen", "kidney_right", "kidney_left", "gallbladder", "esophagus", "liver", "stomach", "aorta",
            "inferior_vena_cava", "portal_vein_and_splenic_vein", "pancreas", "adrenal_gland_right",
            "adrenal_gland_left",
        ),
        "Landman et al. 2015, Beyond the Cranial Vault, synapse.org syn3193805",
        rf"/label00\d\d{_END}",
    ),
    "flare22": Scheme(_numbered(*_FLARE), "Ma et al. 2024, FLARE22, dataset.json", rf"(?i)/flare(20)?22_\w*\d+{_END}"),
    "word": Scheme(
        _numbered(
            "liver", "spleen", "kidney_left", "kidney_right", "stomach", "gallbladder", "esophagus", "pancreas",
            "duodenum", "colon", "intestine", "adrenal", "rectum", "bladder", "head_of_femur_left",
            "head_of_femur_right",
        ),
        "Luo et al. 2022, WORD, github.com/HiLab-git/WORD",
        rf"(?i)/word_\d+{_END}",
    ),
    "msd_liver": Scheme(_numbered("liver", "liver_tumor"), f"{_MSD} Task03_Liver", rf"/liver_\d+{_END}"),
    "msd_lung": Scheme(_numbered("lung_tumor"), f"{_MSD} Task06_Lung", rf"/lung_\d+{_END}"),
    "msd_pancreas": Scheme(
        _numbered("pancreas", "pancreas_tumor"), f"{_MSD} Task07_Pancreas", rf"/pancreas_\d+{_END}"
    ),
    "msd_hepatic_vessel": Scheme(
        _numbered("hepatic_vessel", "liver_tumor"), f"{_MSD} Task08_HepaticVessel", rf"/hepaticvessel_\d+{_END}"
    ),
    "msd_spleen": Scheme(_numbered("spleen"), f"{_MSD} Task09_Spleen", rf"/spleen_\d+{_END}"),
    "msd_colon": Scheme(_numbered("colon_cancer"), f"{_MSD} Task10_Colon", rf"/colon_\d+{_END}"),
    "msd_kidney": Scheme(
        _numbered("kidney", "kidney_tumor"), "KiTS19 in the Decathlon's layout, Task064_KiTS of nnU-Net",
        rf"/kidney_\d+{_END}",
    ),
    "lits": Scheme(
        _numbered("liver", "liver_tumor"), "Bilic et al. 2023, LiTS", rf"/segmentation-\d+{_END}"
    ),
    "kits": Scheme(
        _numbered("kidney", "kidney_tumor", "kidney_cyst"), "Heller et al. 2023, KiTS21 and KiTS23; KiTS19 lacks 3",
        rf"/[Kk]i[Tt][Ss]\w*\d+{_END}|/case_\d{{5}}{_END}|case_\d{{5}}/(segmentation|aggregated_\w+){_END}",
    ),
    "ct_org": Scheme(
        _numbered("liver", "bladder", "lung", "kidneys", "bone", "brain"),
        "Rister et al. 2020, CT-ORG, Sci. Data 7:381",
        rf"/labels-\d+{_END}",
    ),
    "abdomenatlas": Scheme(
        _numbered(*_ATLAS), "Qu et al. 2023, AbdomenAtlas 1.0 (Mini), combined_labels",
        rf"BDMAP_\d+/combined_labels{_END}"
    ),
    "abdomenatlas_1_1": Scheme(
        _numbered(*_ATLAS_1_1), "Li et al. 2024, AbdomenAtlas 1.1, combined_labels", rf"BDMAP_\d+/combined_labels{_END}"
    ),
    "ours": Scheme(
        {int(tissue): tissue.name.lower() for tissue in TissueClass if tissue != TissueClass.BACKGROUND},
        "us_sim/core/tissue.py",
        r"(?i)/.*us_sim",
    ),
    **{
        f"totalsegmentator_{task}": Scheme(_numbered(*names), f"{_TOTALSEG}, task {task}", rf"(?i)/.*{task}.*{_END}")
        for task, names in totalsegmentator.SUB_TASKS.items()
        if task != "body"  # a name too common for a file
    },
    "totalsegmentator_body": Scheme(_numbered(*totalsegmentator.SUB_TASKS["body"]), f"{_TOTALSEG}, task body"),
}  # fmt: skip


def known_schemes() -> str:
    """Return the names of all schemes for a message, the sub-tasks in short."""
    tasks = {f"totalsegmentator_{task}" for task in totalsegmentator.SUB_TASKS}
    names = ", ".join(name for name in SCHEMES if name not in tasks)
    return f"{names}, or totalsegmentator_ with its task, as totalsegmentator_liver_vessels"


def check_scheme(name: str) -> str:
    """Return the name of a scheme.

    Raises:
        PatientError: unknown; the message lists the known ones.
    """
    if name not in SCHEMES:
        raise PatientError(f"label_scheme {name!r} is unknown; expected one of {known_schemes()}")
    return name
