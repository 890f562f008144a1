from .timing import Row as Row
from .timing import in_turns as in_turns
from .timing import machine as machine
from .timing import milliseconds as milliseconds
from .timing import summary as summary
