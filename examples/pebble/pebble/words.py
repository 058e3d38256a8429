"""Words and sentences. Speech, edits and pictures share one small vocabulary, so that skills help each other."""

DIGITS = "zero one two three four five six seven eight nine".split()
NUMBERS = DIGITS + "ten eleven twelve fifteen twenty thirty".split()
COLOURS = "red blue green yellow orange purple black white".split()
SHAPES = "circle square triangle star cross ring".split()
NEW_SHAPES = "heart diamond".split()  # for an adapter: the recipe trains with none of them
ROOMS = "kitchen bedroom bathroom garden garage office".split()
DEVICES = "light lamp radio heater fan oven".split()
OPENABLE = "door window gate box book bag".split()
MUSIC = "jazz rock piano music".split()
PEOPLE = "anna tom maria peter lucy sam".split()
PLACES = "garden street forest river house school market park".split()
ANIMALS = "dog cat bird horse fish mouse cow sheep".split()
PERSONS = "man woman child girl boy teacher doctor farmer".split()
THINGS = "apple bread cake tree flower car boat ball hat cup letter picture".split()
ADJECTIVES = "big small old new happy young cold warm".split()
WALKS = "runs walks sleeps sings waits plays".split()
TAKES = "sees likes buys finds wants carries".split()
TIMES = "today tomorrow now later tonight".split()
WAYS = "left right forward back up down".split()

# Words that are written in pictures and nowhere else: all letters in all places of a word.
WRITTEN = """
able above across after again air almost along also always animal answer area around art away baby bank base beach bear
beauty bed before begin behind bell best better between beyond birth block blood board body bone bottom branch brave
bridge bright bring broad brother brown brush build burn busy butter button cabin call camp candle captain care castle
catch cause centre chain chair chance change charge cheese chief choice church city class clean clear climb clock close
cloth cloud coast coat coffee coin college common copper copy corner cotton count course cover craft cream cross crowd
crown current curve dance danger dark daughter dawn deep deer desert desk dinner dream dress drink drive drop dust eagle
early earth east easy edge eight else empty end engine enjoy equal even evening every exact eye face factory fair fall
family famous farm fast father feast feather field fifty figure fill final fine finger fire first five flag flame flat
floor flow fold follow food force fork form fortune four fox free fresh friend front frost fruit full game gift give
glass globe gold grain grand grass great grey ground group grow guard guest guide half hall hammer hand happen harbour
hard harvest heart heavy height help hero high hill history hold hole hollow home honey hope hotel hour huge human
hundred hunt ice idea image inch indeed ink inside iron island ivory jacket jewel job join joke journey joy judge juice
jump jungle just keen keep kettle key kick kind king knee knife knot know ladder lake land language large last laugh law
lead leaf learn leather leave lemon length lesson level library life lift line lion list listen little local lock long
look lose loud love lucky lunch machine magic main make map marble march master match meadow meal measure meet melon
memory metal middle might mile milk mill mind minute mirror moment money monkey month moon morning mother mountain mouth
move much museum name narrow nation nature near neck needle nest never next night nine noise north nose note nothing
number nurse oak object ocean offer often oil olive only open orange order other outside over owl own page paint palace
paper part past path peace pearl pencil people pepper period piano piece pilot pink pipe place plain planet plant plate
play plenty pocket poem point pole pond poor post potato power press price prince print prize proof proud public pull
pure purple push queen question quick quiet quite rabbit race rail rain raise range rapid reach read ready reason record
region remember rest rice rich ride ring rise road rock roof room root rope rose rough round royal rule safe sail salt
sand save scale scene science sea season seat second secret seed seven shade shadow shape share sharp shelf shell shine
ship shoe shop shore short shoulder show side sign silk silver simple sing sister size skin sky sleep slow smile smoke
smooth snow soap soft soil soldier solid song sort soul sound soup south space spark speak special speed spoon sport
spot spring stage stand star station steam steel step stick still stone store storm story stove strange stream street
strong student sugar summer sun supper sure surface sweet swim sword table tail tale tall taste tea teach team ten test
thank theatre thick thin thing think third thread three ticket tide tiger time tiny title toast tooth top touch tower
town toy track trade train travel treasure trip true trunk trust try turn twelve uncle under until use valley value view
village violin visit voice vowel wagon walk wall war wash watch water wave wax way weather week weight west wheat wheel
while whisper white whole wide wild wind wine wing winter wire wise wolf wonder wood wool word work world worth write
yard year yellow yesterday young youth zebra zone
""".split()


def command(rng) -> str:
    device, room = rng.choice(DEVICES), rng.choice(ROOMS)
    return rng.choice([
        lambda: f"turn {rng.choice(['on', 'off'])} the {device}",
        lambda: f"turn the {room} {device} {rng.choice(['on', 'off'])}",
        lambda: f"please turn {rng.choice(['on', 'off'])} the {room} {device}",
        lambda: f"{rng.choice(['open', 'close'])} the {rng.choice(OPENABLE)}",
        lambda: f"please {rng.choice(['open', 'close'])} the {rng.choice(ROOMS)} {rng.choice(['door', 'window'])}",
        lambda: f"play some {rng.choice(MUSIC)}",
        lambda: f"play {rng.choice(MUSIC)} in the {room}",
        lambda: f"set a timer for {rng.choice(NUMBERS[1:])} {rng.choice(['minutes', 'seconds', 'hours'])}",
        lambda: f"call {rng.choice(PEOPLE)} {rng.choice(TIMES)}",
        lambda: f"send a letter to {rng.choice(PEOPLE)}",
        lambda: f"go {rng.choice(WAYS)} {rng.choice(NUMBERS[1:])} steps",
        lambda: f"turn {rng.choice(['left', 'right'])} and go {rng.choice(WAYS)}",
        lambda: f"wake me at {rng.choice(NUMBERS[1:13])}",
        lambda: rng.choice(["stop", "start", "wait", "yes", "no", "help", "go on", "thank you", "stop the music"]),
    ])()


def digits(rng) -> str:
    return " ".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 8)))


def noun(rng, words) -> str:
    adjective = rng.choice(ADJECTIVES + COLOURS) + " " if rng.random() < 0.4 else ""
    return f"{rng.choice(['the', 'a', 'my'])} {adjective}{rng.choice(words)}"


def sentence(rng) -> str:
    """A short statement of 3 to 8 words."""
    who = noun(rng, ANIMALS + PERSONS)
    text = rng.choice([
        lambda: f"{who} {rng.choice(WALKS)} in the {rng.choice(PLACES)}",
        lambda: f"{who} {rng.choice(WALKS)} {rng.choice(TIMES)}",
        lambda: f"{who} {rng.choice(TAKES)} {noun(rng, THINGS)}",
        lambda: f"{rng.choice(PEOPLE)} {rng.choice(TAKES)} {noun(rng, THINGS)} {rng.choice(TIMES)}",
        lambda: f"{rng.choice(PEOPLE)} {rng.choice(WALKS)} with the {rng.choice(ANIMALS)}",
        lambda: f"the {rng.choice(THINGS)} is {rng.choice(ADJECTIVES)}",
        lambda: f"there are {rng.choice(NUMBERS[2:])} {rng.choice(ANIMALS[:3])}s in the {rng.choice(PLACES)}",
    ])()
    words = text.split()
    return " ".join(words[:8])


def utterance(rng) -> str:
    """What one speaker says: 1 to 8 words."""
    return rng.choices([command, digits, sentence], [4, 2, 4])[0](rng)


def phrase(rng) -> str:
    """1 to 3 words: one turn of a talk."""
    return rng.choice([
        lambda: rng.choice(["yes", "no", "stop", "wait", "thank you", "help me", "go on"]),
        lambda: f"{rng.choice(['open', 'close'])} the {rng.choice(OPENABLE)}",
        lambda: f"call {rng.choice(PEOPLE)}",
        lambda: f"play {rng.choice(MUSIC)}",
        lambda: f"go {rng.choice(WAYS)}",
        lambda: f"the {rng.choice(ADJECTIVES)} {rng.choice(ANIMALS)}",
        lambda: f"{rng.choice(NUMBERS)} {rng.choice(['minutes', 'apples', 'steps'])}",
    ])()


_ONSETS = "b d f g h k l m n p r s t v w br dr fl gr kl pr sk st tr".split()
_VOWELS = "a e i o u".split()
_ENDS = ["", "", "n", "l", "r", "s", "m", "t", "x"]


def made_up(rng, syllables=(2, 3)) -> str:
    """A word that nobody uses: copying it from the question takes reading, not remembering."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(*syllables))) + rng.choice(_ENDS)
