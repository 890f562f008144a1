from .samples import Sample as Sample
from .samples import Source as Source
from .samples import open_source as open_source
