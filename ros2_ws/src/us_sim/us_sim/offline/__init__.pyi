from .dataset import Dataset as Dataset
from .dataset import card_of as card_of
from .film import write_film as write_film
from .replay import Replay as Replay
from .replay import Shot as Shot
from .sheet import contact_sheet as contact_sheet
from .sheet import pictures as pictures
