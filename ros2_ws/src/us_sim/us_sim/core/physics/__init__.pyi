from .b_mode import polar_frame as polar_frame
from .imaging import Formation as Formation
from .imaging import formation as formation
from .scan_conversion import conversion_grid as conversion_grid
from .scan_conversion import scan_convert as scan_convert
