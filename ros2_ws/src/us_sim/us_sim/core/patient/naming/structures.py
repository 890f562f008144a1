# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The class of an anatomical structure, from the names that the field gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from us_sim.core.tissue import TissueClass

_T = TissueClass
_NOTHING = re.compile(r"^(background|clear label|unlabel.*|ignore|exterior|none|empty)$")
# Regions that hold many tissues: they say nothing of a voxel's own.
_REGION = re.compile(
    r"^(body|torso|trunk|face|head|external|outline|roi|mask|labels?|segmentation|volume|abdomen|chest|thorax|"
    r"body (trunc|trunk|extremities|contour)|external contour|(abdominal|thoracic|pelvic) cavity|"
    r"mediastinum|pericardium)$"
)
_DISEASE = re.compile(r"tumou?r|lesion|cancer|carcinoma|metasta|\bmass(es)?\b|malignan|\bgtv|\bhcc\b|nodule|infiltrate")

# Read from above: the first that is found in a name decides. Words are separated by single blanks.
_CLASSES: tuple[tuple[str, TissueClass], ...] = (
    (r"cyst|effusion|ascites|fluid|\bcsf\b|subarachnoid|\bbile\b|\burine\b|pancreatic duct|renal pelvis", _T.FLUID),
    (r"(third|fourth) ventricle|ventricle (frontal|occipital|body|temporal|trigone)|^ventricles?$|eyeball|^eye ",
     _T.FLUID),
    (r"\bfat\b|adipose", _T.FAT),
    (r"intervertebral|\bdis[ck]s?\b|spinal (cord|canal)|nerve|hemorrhage|haemorrhage", _T.SOFT),
    (r"trachea|bronch|airway|thymus|thyroid gland|^thyroid$", _T.SOFT),
    (r"myocard", _T.MUSCLE),
    (
        r"aort|vena\b|vein|arter|vessel|postcava|\b(ivc|svc|sma|pv)\b|portal|carotid|jugular|h?(o?eliac) (trunk|truck)|"
        r"(brachiocephalic|pulmonary) trunk|brachiocephalic|subclavian|superior vena|heart|atri(um|al)|ventric|blood|"
        r"lumen|cusp|outflow tract|annulus|sinotubular|pul (annulus|bifurcation|left start|right start)|venous sinus|"
        r"aneurysm|iliac (artery|vena|vein)",
        _T.VESSEL,
    ),
    (r"muscle|muscul|glute|autochthon|psoas|quadratus|erector|rectus|oblique|latissimus|trapezius|pectoralis|serratus|"
     r"deltoid|diaphragm|quadriceps|sartorius|thigh \w+ compartment|biceps|triceps|teres|subscapularis|spinatus|"
     r"coracobrachial|sternocleidomastoid|platysma|scalene|masseter|temporalis|pterygoid|tongue|digastric|levator|"
     r"thyrohyoid|sterno thyroid|prevertebral|constrictor|transversospinalis", _T.MUSCLE),
    (r"gall ?bladder|bladder|urinary", _T.FLUID),
    (r"\blungs?\b|pulmonary (lobe|parenchyma)", _T.LUNG),
    (r"adrenal|suprarenal", _T.SOFT),
    (r"kidneys?\b|\brenal\b|\bkid\b", _T.KIDNEY),
    (r"\bliver|hepatic|\bhepar", _T.LIVER),
    (r"spleen|splenic|\blien\b", _T.SPLEEN),
    (r"pancrea", _T.PANCREAS),
    (r"vertebra|sacrum|coccyx|\bribs?\b|sternum|clavic|scapula|humer|femur|femoral head|\bhips?\b|skull|\bbones?\b|"
     r"patella|tibia|fibula|tarsal|carpal|phalan|\bulna\b|\bradius\b|mandible|jaw|teeth|tooth|incisor|molar|canine|"
     r"hyoid|zygomatic|styloid|cartilage|skeleton|\bspine\b|implant|\bpelvi[cs]?\b|hard palate|calcification|\bfdi",
     _T.BONE),
    (r"\bskin\b", _T.SKIN),
    (r"^(gas|air|larynx air)$|bowel gas|sinus (maxillary|frontal)", _T.GAS),
    (r"stomach|gaster|o?esophag|bowel|duoden|colon|intestin|rect(um|al)|sigmoid|c(a)?ecum|jejunum|ileum|appendix|prostat|"
     r"uter(us|ine)|ovar|testi|seminal|vagina|urethra|ureter|breast|lymph|omentum|brain|cerebell|\blobe\b|cortex|nucleus|"
     r"thalamus|capsule|septum|sulcus|gland|pharyn|larynx|nasal|palate|canal|eye lens|mesenter|soft tissue|"
     r"^gut$|bile duct",
     _T.SOFT),
)  # fmt: skip
_ORGANS = (_T.LIVER, _T.KIDNEY, _T.SPLEEN, _T.PANCREAS)
_PATTERNS = tuple((re.compile(pattern), tissue) for pattern, tissue in _CLASSES)


def plain(name: str) -> str:
    """Return a name in lower case, its words separated by single blanks: `RightKidney` is `right kidney`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name[:200])
    return " ".join(re.sub(r"[^a-z0-9]+", " ", spaced.lower()).split())


def class_of_name(name: str) -> TissueClass | None:
    """Return the class of a structure; BACKGROUND for what is no structure; None where the name says no tissue.

    A structure that we have no class for counts as the tissue that it consists of; a disease counts as its organ.
    """
    words = plain(name)
    if words.upper() in TissueClass.__members__:
        return TissueClass[words.upper()]
    if _NOTHING.match(words):
        return TissueClass.BACKGROUND
    if _REGION.match(words):
        return None
    disease = _DISEASE.search(words)
    if disease and re.search(r"\blungs?\b|pulmonary", words):
        return TissueClass.SOFT  # solid tissue amid lung
    found = next((tissue for pattern, tissue in _PATTERNS if pattern.search(words)), None)
    return TissueClass.SOFT if found is None and disease else found


def classes_of_names(names: Mapping[int, str]) -> dict[int, TissueClass | None]:
    """Return the class of each named value; a disease without an organ counts as the only organ beside it."""
    classes = {value: class_of_name(name) for value, name in names.items()}
    lone = [value for value, name in names.items() if _is_lone_disease(name)]
    organs = {tissue for value, tissue in classes.items() if value not in lone and tissue in _ORGANS}
    if len(organs) == 1:
        classes.update(dict.fromkeys(lone, organs.pop()))
    return classes


def organs_in(name: str) -> set[TissueClass]:
    """Return all organs that a name names, in whatever connection."""
    words = plain(name)
    return {tissue for pattern, tissue in _PATTERNS if tissue in _ORGANS and pattern.search(words)}


def _is_lone_disease(name: str) -> bool:
    """Whether a name means a disease and names no organ: `tumour`, `cancer`."""
    words = plain(name)
    return bool(_DISEASE.search(words)) and not any(pattern.search(words) for pattern, _ in _PATTERNS)
