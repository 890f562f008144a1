from .choice import Reading as Reading
from .choice import choose as choose
from .own_map import OwnMap as OwnMap
from .own_map import read_own_map as read_own_map
from .schemes import SCHEMES as SCHEMES
from .schemes import Scheme as Scheme
from .schemes import check_scheme as check_scheme
from .structures import class_of_name as class_of_name
