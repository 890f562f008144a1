from .apply import Detailed as Detailed
from .apply import detailed as detailed
from .hounsfield import seen_in as seen_in
