"""Label schemes: which label value or file name means which of our tissue classes."""

from __future__ import annotations

from us_sim.core.errors import PatientError
from us_sim.core.tissue import TissueClass

_SIDES = ("left", "right")


def _both(name: str) -> list[str]:
    return [f"{name}_{side}" for side in _SIDES]


def _numbered(name: str, letter: str, count: int) -> list[str]:
    return [f"{name}_{letter}{number}" for number in range(count, 0, -1)]


# The 117 classes of TotalSegmentator 2 (task "total"), in the order of their ids from 1.
TOTALSEGMENTATOR_NAMES: tuple[str, ...] = (
    "spleen", "kidney_right", "kidney_left", "gallbladder", "liver", "stomach", "pancreas",
    "adrenal_gland_right", "adrenal_gland_left",
    "lung_upper_lobe_left", "lung_lower_lobe_left",
    "lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right",
    "esophagus", "trachea", "thyroid_gland", "small_bowel", "duodenum", "colon", "urinary_bladder",
    "prostate", *_both("kidney_cyst"), "sacrum", "vertebrae_S1",
    *_numbered("vertebrae", "L", 5), *_numbered("vertebrae", "T", 12), *_numbered("vertebrae", "C", 7),
    "heart", "aorta", "pulmonary_vein", "brachiocephalic_trunk",
    "subclavian_artery_right", "subclavian_artery_left",
    "common_carotid_artery_right", "common_carotid_artery_left",
    *_both("brachiocephalic_vein"), "atrial_appendage_left",
    "superior_vena_cava", "inferior_vena_cava", "portal_vein_and_splenic_vein",
    *_both("iliac_artery"), *_both("iliac_vena"),
    *_both("humerus"), *_both("scapula"), *_both("clavicula"), *_both("femur"), *_both("hip"),
    "spinal_cord",
    *_both("gluteus_maximus"), *_both("gluteus_medius"), *_both("gluteus_minimus"),
    *_both("autochthon"), *_both("iliopsoas"),
    "brain", "skull",
    *[f"rib_{side}_{number}" for side in _SIDES for number in range(1, 13)],
    "sternum", "costal_cartilages",
)  # fmt: skip

_CLASS_OF_PREFIX: dict[str, TissueClass] = {
    "liver": TissueClass.LIVER,
    "kidney_cyst": TissueClass.FLUID,
    "kidney": TissueClass.KIDNEY,
    "spleen": TissueClass.SPLEEN,
    "pancreas": TissueClass.PANCREAS,
    **dict.fromkeys(
        ("heart", "aorta", "pulmonary_vein", "brachiocephalic", "subclavian", "common_carotid",
         "atrial_appendage", "superior_vena", "inferior_vena", "portal_vein", "iliac_"),
        TissueClass.VESSEL,
    ),
    **dict.fromkeys(("gallbladder", "urinary_bladder"), TissueClass.FLUID),
    **dict.fromkeys(
        ("sacrum", "vertebrae", "humerus", "scapula", "clavicula", "femur", "hip", "skull", "rib_", "sternum",
         "costal_cartilages"),
        TissueClass.BONE,
    ),
    "lung": TissueClass.LUNG,
    **dict.fromkeys(("gluteus", "autochthon", "iliopsoas"), TissueClass.MUSCLE),
    **dict.fromkeys(
        ("stomach", "adrenal_gland", "esophagus", "trachea", "thyroid_gland", "small_bowel", "duodenum",
         "colon", "prostate", "spinal_cord", "brain"),
        TissueClass.SOFT,
    ),
}  # fmt: skip


def class_of_name(name: str) -> TissueClass | None:
    """Return the class of a TotalSegmentator structure or of our own class name; None if neither."""
    if name.upper() in TissueClass.__members__:
        return TissueClass[name.upper()]
    if name not in TOTALSEGMENTATOR_NAMES:
        return None
    return next(tissue for prefix, tissue in _CLASS_OF_PREFIX.items() if name.startswith(prefix))


# Scheme name -> label value -> class; 0 is unlabelled everywhere.
SCHEMES: dict[str, dict[int, TissueClass]] = {
    "abdomenct1k": {
        1: TissueClass.LIVER,
        2: TissueClass.KIDNEY,
        3: TissueClass.SPLEEN,
        4: TissueClass.PANCREAS,
    },
    "totalsegmentator": {
        number: tissue
        for number, name in enumerate(TOTALSEGMENTATOR_NAMES, start=1)
        if (tissue := class_of_name(name)) is not None
    },
    "ours": {int(tissue): tissue for tissue in TissueClass if tissue != TissueClass.BACKGROUND},
}


def check_scheme(name: str) -> str:
    """Return the name of a scheme.

    Raises:
        PatientError: unknown; the message lists the known ones.
    """
    if name not in SCHEMES:
        raise PatientError(f"label_scheme {name!r} is unknown; expected one of {', '.join(SCHEMES)}")
    return name


def find_scheme(values: set[int], hints: str, source: object) -> str:
    """Find the scheme of a label map.

    Values from 1 to 4 mean the same in AbdomenCT-1K and ours. Up to 13 they fit ours and TotalSegmentator:
    then the hints decide, and without any the user has to.

    Args:
        values: those present, without 0.
        hints: file name and header text.
        source: file that a message names.

    Raises:
        PatientError: no scheme has all values, or two that differ have them.
    """
    hints = hints.lower()
    fitting = [name for name, classes in SCHEMES.items() if values <= classes.keys()]
    if not fitting:
        raise PatientError(
            f"{source}: label values {_listed(values)} are in no scheme ({', '.join(SCHEMES)}); "
            "remap them to one of these"
        )
    hinted = {
        "totalsegmentator": any(word in hints for word in ("totalseg", "kidney_right", "vertebrae_")),
        "ours": "us_sim" in hints,
    }
    for name in fitting:
        if hinted.get(name):
            return name
    if len(fitting) == 2:
        raise PatientError(f"{source}: label values {_listed(values)} fit {' and '.join(fitting)}; set label_scheme")
    return fitting[0]


def check_values(values: set[int], scheme: str, source: object) -> None:
    """Compare label values with a scheme.

    Raises:
        PatientError: naming the values that are not in it.
    """
    strange = values - SCHEMES[scheme].keys()
    if strange:
        raise PatientError(
            f"{source}: label values {_listed(strange)} are not in scheme {scheme!r}; "
            f"remap them or set label_scheme to one of {', '.join(SCHEMES)}"
        )


def _listed(values: set[int]) -> str:
    shown = sorted(values)
    return ", ".join(map(str, shown[:10])) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
