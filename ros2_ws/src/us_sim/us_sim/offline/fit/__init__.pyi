from .fitting import Fit as Fit
from .fitting import Verdict as Verdict
from .frames import Scanned as Scanned
from .frames import read_frames as read_frames
from .knobs import Guess as Guess
from .measures import Ruler as Ruler
from .scenes import Scenes as Scenes
from .scenes import scenes_of as scenes_of
