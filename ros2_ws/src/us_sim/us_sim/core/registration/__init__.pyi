from .expected_frame import ExpectedFrame as ExpectedFrame
from .similarity import LocalCorrelation as LocalCorrelation
