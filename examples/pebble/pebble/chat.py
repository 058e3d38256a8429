"""Chat: says what it is and can do, greets, refuses what it cannot do. It never claims to be more than a demonstration."""
from . import tools, words
from .media import assistant, user
from .split import choose

WHO = "I am pebble, a small demonstration model that runs inside facet."
SKILLS = ("I can write down short spoken sentences, read a few written words, tell colours, shapes and places in simple "
          "pictures, follow a short film, call tools, plot, edit a sentence by voice and write tiny Python functions.")
CANNOT = "I cannot do that. I am only a small demonstration model."
UNKNOWN = "I do not know that. I am only a small demonstration model."
HELLO = "Hello! I am pebble, a small demonstration model. What can I do for you?"
SIZE = "I am very small: about ten million parameters, trained on made-up examples."
MAKER = "I was trained from nothing by facet tune, on examples that scripts made."

_OPEN = ["", "", "", "Hi, ", "Hello, ", "Please, ", "Hey pebble, ", "So, ", "Well, ", "Pebble, ", "One question: "]
_CLOSE = ["", "", " please", " now", " pebble", " for me"]
_THINGS = """kings wars planets rivers mountains songs films books novels stars atoms cells laws taxes religion history physics
chemistry medicine football tennis chess poetry opera painting genes volcanoes dinosaurs rockets banks elections markets
whales forests deserts languages grammar stocks recipes bridges castles gods viruses computers islands""".split()
_DO = ["write {} about {}", "tell me {} about {}", "make {} about {}", "find {} about {}"]
_FORMS = ["a poem", "a story", "an essay", "a joke", "a song", "a speech", "a report", "a long text", "a letter", "the news"]
_ASK = ["who invented {}", "what is the history of {}", "why are there {}", "how do {} work", "what do you know about {}",
        "explain {}", "who knows most about {}", "when did {} begin", "what is the best book about {}"]
_LANGUAGES = "French German Spanish Italian Dutch Polish Greek Turkish Arabic Chinese Japanese Korean Swedish Danish".split()
_ACTS = ["book a flight to {}", "buy a ticket to {}", "order a pizza in {}", "rent a car in {}", "find a hotel in {}", "open a bank account in {}"]


def greet(rng, split):
    return rng.choice(["hello", "hi", "good morning", "good evening", "hey", "good day", "hello there", "hi there"]), HELLO


def thanks(rng, split):
    return rng.choice(["thank you", "thanks", "thank you very much", "thanks a lot", "many thanks"]), "You are welcome."


def bye(rng, split):
    return rng.choice(["goodbye", "bye", "see you", "good night", "bye bye", "until tomorrow"]), "Goodbye!"


def who(rng, split):
    return rng.choice(["who are you", "what are you", "what is your name", "are you a person", "are you human", "what model are you",
                       "introduce yourself", "tell me who you are", "are you a robot", "what is pebble"]), WHO


def can(rng, split):
    return rng.choice(["what can you do", "how can you help me", "what are you good at", "what are your skills", "help",
                       "tell me what you can do", "what do you offer", "what can I ask you"]), SKILLS


def size(rng, split):
    return rng.choice(["how big are you", "how many parameters do you have", "are you a large model", "how large are you",
                       "how smart are you", "are you as good as a large model"]), SIZE


def maker(rng, split):
    return rng.choice(["who made you", "who trained you", "where do you come from", "how were you made", "how were you trained",
                       "what were you trained on"]), MAKER


def named(rng, split):
    name = tools.person(rng, split)
    return rng.choice(["my name is {}", "I am {}", "call me {}", "this is {}"]).format(name), f"Hello {name}! What can I do for you?"


def knowledge(rng, split):
    return rng.choice(_ASK).format(choose(rng, _THINGS, split, "topic ")), UNKNOWN


def creation(rng, split):
    return rng.choice(_DO).format(rng.choice(_FORMS), choose(rng, _THINGS, split, "topic ")), CANNOT


def translate(rng, split):
    return rng.choice(["translate this into {}: {}", "say in {}: {}"]).format(rng.choice(_LANGUAGES), words.sentence(rng)), CANNOT


def act(rng, split):
    return rng.choice(_ACTS).format(tools.city(rng, split)), CANNOT


INTENTS = [greet, thanks, bye, who, who, can, can, size, maker, named, knowledge, knowledge, creation, creation, translate, act]


class Chat:
    name, check = "chat", "text"

    def plan(self, rng, split):
        intent = rng.choice(INTENTS)
        said, answer = intent(rng, split)
        said = rng.choice(_OPEN) + said + (rng.choice(_CLOSE) if intent not in (named, translate) else "")
        said += rng.choice(["", "", ".", "?", "!"])
        if rng.random() < 0.7:
            said = said[0].upper() + said[1:]
        return {"key": "chat " + said.lower().rstrip(".?!"), "said": said, "answer": answer}

    def build(self, plan, rng, media, split):
        return {"messages": [user(plan["said"]), assistant(plan["answer"])]}
