from .build import phantom as phantom
