"""All skills, in the order in which they are reported, and what is trained besides."""
from .chat import Chat
from .code import Code
from .echo import Echo
from .film import Changes, Film
from .plots import Plots
from .reading import Letters, Page, Reading
from .seeing import Pairs, Search, Seeing, Tiles
from .sound_picture import Heard, SoundPicture
from .speech import Speakers, Speech
from .tools import Tools
from .voice_edit import VoiceEdit

SKILLS = {s.name: s for s in (Speech(), Speakers(), Reading(), Seeing(), Film(), SoundPicture(), Tools(), Plots(), VoiceEdit(),
                              Code(), Chat())}
EXERCISES = {s.name: s for s in (Echo(), Page(), Letters(), Tiles(), Pairs(), Search(), Changes(), Heard())}
