# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Label values of TotalSegmentator, version 2 and 1, and of its sub-tasks on CT, in the order of their ids from 1.

Source: wasserth/TotalSegmentator, `totalsegmentator/map_to_binary.py`, commit 0e65a44 (Wasserthal et al. 2023).
Version 3 calls 26 `vertebrae_L6` instead of `vertebrae_S1`, and both are bone.
"""

from __future__ import annotations

_SIDES = ("left", "right")


def _both(name: str) -> list[str]:
    return [f"{name}_{side}" for side in _SIDES]


def _right_first(name: str) -> list[str]:
    return [f"{name}_{side}" for side in reversed(_SIDES)]


def _numbered(name: str, letter: str, count: int) -> list[str]:
    return [f"{name}_{letter}{number}" for number in range(count, 0, -1)]


_SPINE = [*_numbered("vertebrae", "L", 5), *_numbered("vertebrae", "T", 12), *_numbered("vertebrae", "C", 7)]
_RIBS = [f"rib_{side}_{number}" for side in _SIDES for number in range(1, 13)]
_LIMBS = [*_both("humerus"), *_both("scapula"), *_both("clavicula"), *_both("femur"), *_both("hip")]
_LOBES = ["lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right", "lung_middle_lobe_right",
          "lung_lower_lobe_right"]  # fmt: skip
_MUSCLES = [*_both("gluteus_maximus"), *_both("gluteus_medius"), *_both("gluteus_minimus"), *_both("autochthon"),
            *_both("iliopsoas")]  # fmt: skip

TOTAL: tuple[str, ...] = (
    "spleen", "kidney_right", "kidney_left", "gallbladder", "liver", "stomach", "pancreas",
    "adrenal_gland_right", "adrenal_gland_left", *_LOBES,
    "esophagus", "trachea", "thyroid_gland", "small_bowel", "duodenum", "colon", "urinary_bladder",
    "prostate", *_both("kidney_cyst"), "sacrum", "vertebrae_S1", *_SPINE,
    "heart", "aorta", "pulmonary_vein", "brachiocephalic_trunk",
    "subclavian_artery_right", "subclavian_artery_left",
    "common_carotid_artery_right", "common_carotid_artery_left",
    *_both("brachiocephalic_vein"), "atrial_appendage_left",
    "superior_vena_cava", "inferior_vena_cava", "portal_vein_and_splenic_vein",
    *_both("iliac_artery"), *_both("iliac_vena"), *_LIMBS, "spinal_cord", *_MUSCLES,
    "brain", "skull", *_RIBS, "sternum", "costal_cartilages",
)  # fmt: skip

TOTAL_V1: tuple[str, ...] = (
    "spleen", "kidney_right", "kidney_left", "gallbladder", "liver", "stomach", "aorta", "inferior_vena_cava",
    "portal_vein_and_splenic_vein", "pancreas", "adrenal_gland_right", "adrenal_gland_left", *_LOBES, *_SPINE,
    "esophagus", "trachea", "heart_myocardium", "heart_atrium_left", "heart_ventricle_left", "heart_atrium_right",
    "heart_ventricle_right", "pulmonary_artery", "brain", *_both("iliac_artery"), *_both("iliac_vena"),
    "small_bowel", "duodenum", "colon", *_RIBS, *_LIMBS, "sacrum", "face", *_MUSCLES, "urinary_bladder",
)  # fmt: skip

SUB_TASKS: dict[str, tuple[str, ...]] = {
    "lung_vessels": ("lung_airways", "lung_airways_wall", "lung_arteries", "lung_veins"),
    "lung_nodules": ("lung", "lung_nodules"),
    "pleural_pericard_effusion": ("lung_pleural", "pleural_effusion", "pericardial_effusion"),
    "body": ("body_trunc", "body_extremities"),
    "liver_vessels": ("liver_vessels", "liver_tumor"),
    "liver_segments": tuple(f"liver_segment_{number}" for number in range(1, 9)),
    "vertebrae_body": ("vertebrae_body", "intervertebral_discs"),
    "vertebrae_pp": tuple(reversed(_SPINE)),
    "heartchambers_highres": (
        "heart_myocardium", "heart_atrium_left", "heart_ventricle_left", "heart_atrium_right", "heart_ventricle_right",
        "aorta", "pulmonary_artery",
    ),
    "appendicular_bones": (
        "patella", "tibia", "fibula", "tarsal", "metatarsal", "phalanges_feet", "ulna", "radius", "carpal",
        "metacarpal", "phalanges_hand",
    ),
    "tissue_types": ("subcutaneous_fat", "torso_fat", "skeletal_muscle"),
    "tissue_4_types": ("subcutaneous_fat", "torso_fat", "skeletal_muscle", "intermuscular_fat"),
    "abdominal_muscles": (
        *_right_first("pectoralis_major"), *_right_first("rectus_abdominis"), *_right_first("serratus_anterior"),
        *_right_first("latissimus_dorsi"), *_right_first("trapezius"), *_right_first("external_oblique"),
        *_right_first("internal_oblique"), *_right_first("erector_spinae"), *_right_first("transversospinalis"),
        *_right_first("psoas_major"), *_right_first("quadratus_lumborum"),
    ),
    "thigh_shoulder_muscles": (
        *_both("quadriceps_femoris"), *_both("thigh_medial_compartment"), *_both("thigh_posterior_compartment"),
        *_both("sartorius"), "deltoid", "supraspinatus", "infraspinatus", "subscapularis", "coracobrachial",
        "trapezius", "pectoralis_minor", "serratus_anterior", "teres_major", "triceps_brachii",
    ),
    "kidney_cysts": tuple(_both("kidney_cyst")),
    "renal_arteries": ("celiac_trunk", "superior_mesenteric_artery", "renal_arteries", "aorta"),
    "aortic_dissection": ("aorta_true_lumen", "aorta_false_lumen"),
    "aortic_sinuses": ("left_ventricular_outflow_tract", "right_coronary_cusp", "left_coronary_cusp",
                       "non_coronary_cusp"),
    "trunk_cavities": ("abdominal_cavity", "thoracic_cavity", "pericardium", "mediastinum"),
    "liver_lesions": ("liver_lesions",),
    "coronary_arteries": ("coronary_arteries",),
    "hip_implant": ("hip_implant",),
    "breasts": ("breast",),
}  # fmt: skip
