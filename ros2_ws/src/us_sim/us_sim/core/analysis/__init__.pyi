from .confidence import confidence_map as confidence_map
from .organ_views import Analysis as Analysis
from .organ_views import OrganView as OrganView
from .organ_views import analyse as analyse
from .segmenter import Segmenter as Segmenter
from .segmenter import load_segmenter as load_segmenter
from .segmenter import segment as segment
