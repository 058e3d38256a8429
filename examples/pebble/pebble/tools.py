"""Tools: the right call with the right arguments, then an answer from its result.

Names of tools and parameters vary, so that they must be read in the declaration; values of held-out examples are names
and numbers that training never shows.
"""
import dataclasses
import json
import typing

from . import words
from .media import assistant, user
from .split import TRAIN, choose

CITIES = """Amsterdam Ankara Athens Auckland Baghdad Bamako Bangkok Barcelona Beirut Belgrade Bergen Berlin Bern Bilbao Bogota
Bologna Bombay Bordeaux Boston Bremen Brisbane Brussels Bucharest Budapest Cairo Calgary Caracas Chicago Cologne
Copenhagen Cordoba Dakar Dallas Delhi Denver Dresden Dublin Durban Edinburgh Florence Geneva Genoa Ghent Glasgow Granada
Hamburg Hanoi Havana Helsinki Houston Istanbul Jakarta Kabul Karachi Kiev Kyoto Lagos Leeds Leipzig Lima Lisbon Liverpool
London Lusaka Lyon Madrid Malaga Manila Marseille Melbourne Memphis Milan Minsk Montreal Moscow Munich Nairobi Naples
Nice Osaka Oslo Ottawa Oxford Palermo Paris Perth Porto Prague Quito Rabat Riga Rome Rotterdam Salzburg Santiago Seattle
Seoul Seville Shanghai Sofia Stockholm Sydney Tallinn Tehran Tokyo Toronto Toulouse Trieste Tunis Turin Utrecht Valencia
Venice Verona Vienna Vilnius Warsaw York Zagreb Zurich""".split()
NAMES = """Adam Agnes Albert Alice Amir Anna Anton Arthur Astrid Aya Basil Beatrice Ben Bruno Carla Carmen Cecilia Chloe Clara
Conrad Dana Daniel David Diana Dora Edgar Edith Elena Elias Ella Emil Emma Eric Esther Eva Felix Fiona Flora Frank Fred
Gina Greta Gustav Hanna Harry Hector Helen Henry Hugo Ida Igor Ines Irene Ivan Jack Jana Jasper Jonas Judith Julia Karl
Kate Kim Lara Laura Leo Lena Lewis Lily Lina Louis Lukas Mara Marcus Maria Martha Max Mia Milo Mona Nadia Nina Noah Nora
Olga Oliver Oscar Otto Paula Peter Philip Rafael Rita Robert Rosa Ruth Sam Sara Sofia Stella Theo Thomas Tina Tom Vera
Victor Walter Wanda Yusuf Zoe""".split()
SKIES = "sunny cloudy rainy windy foggy snowy stormy clear".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
EVENTS = "meeting dinner lunch concert lesson call party match visit walk".split()
CURRENCIES = "euros dollars pounds yen francs crowns".split()


def city(rng, split):
    return choose(rng, CITIES, split) if rng.random() < 0.6 else unseen_word(rng, split).capitalize()


def person(rng, split):
    return choose(rng, NAMES, split) if rng.random() < 0.6 else unseen_word(rng, split).capitalize()


def unseen_word(rng, split):
    """A made-up word of this split."""
    from .split import split_of
    while split_of(word := words.made_up(rng)) != split:
        pass
    return word


def number(rng, low, high, split):
    return choose(rng, range(low, high + 1), split, "number ")


@dataclasses.dataclass
class Tool:
    names: list  # of the function, one is taken
    description: list
    parameters: list  # (names, type, description)
    request: typing.Callable  # (rng, split) -> (text, values, result, answer)


def weather(rng, split):
    where, degrees, sky = city(rng, split), number(rng, -9, 38, split), rng.choice(SKIES)
    ask = rng.choice(["What is the weather in {}?", "How is the weather in {}?", "Is it warm in {}?", "Weather in {}, please."])
    return ask.format(where), [where], {"temperature": degrees, "sky": sky}, f"It is {degrees} degrees and {sky} in {where}."


def timer(rng, split):
    minutes = number(rng, 1, 90, split)
    ask = rng.choice(["Set a timer for {} minutes.", "Wake me in {} minutes.", "Tell me when {} minutes are over."])
    return ask.format(minutes), [minutes], {"status": "ok"}, f"The timer is set for {minutes} minutes."


def message(rng, split):
    to, said = person(rng, split), words.sentence(rng)
    ask = rng.choice(['Tell {}: {}', 'Send {} this message: {}', 'Write to {}: {}'])
    return ask.format(to, said), [to, said], {"status": "sent"}, f"I sent the message to {to}."


def event(rng, split):
    what, day, hour = rng.choice(EVENTS), rng.choice(DAYS), number(rng, 1, 12, split)
    who = person(rng, split)
    ask = rng.choice(["Put a {} with {} on {} at {}.", "Plan a {} with {} on {} at {}."])
    return (ask.format(what, who, day, hour), [f"{what} with {who}", day, hour], {"status": "saved"},
            f"The {what} with {who} is on {day} at {hour}.")


def convert(rng, split):
    amount, (a, b) = number(rng, 2, 900, split), rng.sample(CURRENCIES, 2)
    got = number(rng, 2, 900, split)
    ask = rng.choice(["How much are {} {} in {}?", "Convert {} {} to {}.", "What are {} {} in {}?"])
    return ask.format(amount, a, b), [amount, a, b], {"amount": got}, f"{amount} {a} are {got} {b}."


def clock(rng, split):
    where, hour, minute = city(rng, split), rng.randint(0, 23), number(rng, 10, 59, split)
    ask = rng.choice(["What time is it in {}?", "How late is it in {}?", "Tell me the time in {}."])
    return ask.format(where), [where], {"time": f"{hour}:{minute}"}, f"It is {hour}:{minute} in {where}."


def phone(rng, split):
    who, digits = person(rng, split), " ".join(str(rng.randint(0, 9)) for _ in range(5))
    ask = rng.choice(["What is the number of {}?", "Find the phone number of {}.", "How can I call {}?"])
    return ask.format(who), [who], {"number": digits}, f"The number of {who} is {digits}."


def light(rng, split):
    room, on = rng.choice(words.ROOMS), rng.random() < 0.5
    level = number(rng, 1, 99, split)
    state = "on" if on else "off"
    if rng.random() < 0.5:
        return f"Turn the {room} light {state}.", [room, 100 if on else 0], {"status": "ok"}, f"The {room} light is {state}."
    ask = rng.choice(["Set the {} light to {} percent.", "Dim the {} light to {} percent."])
    return ask.format(room, level), [room, level], {"status": "ok"}, f"The {room} light is at {level} percent."


def add(rng, split):
    a, b = number(rng, 10, 999, split), number(rng, 10, 999, split)
    ask = rng.choice(["What is {} plus {}?", "Add {} and {}.", "How much is {} plus {}?"])
    return ask.format(a, b), [a, b], {"sum": a + b}, f"{a} plus {b} is {a + b}."


def note(rng, split):
    said = words.sentence(rng)
    ask = rng.choice(["Note that {}.", "Remember that {}.", "Write down that {}."])
    return ask.format(said), [said], {"status": "saved"}, "I wrote it down."


TOOLS = [
    Tool(["get_weather", "weather", "current_weather"], ["The weather in a city", "Weather now"],
         [(["city", "place", "location"], "string", "Name of the city")], weather),
    Tool(["set_timer", "start_timer", "timer"], ["Start a timer", "Ring after some minutes"],
         [(["minutes", "duration"], "integer", "Minutes")], timer),
    Tool(["send_message", "send_text", "message"], ["Send a message to a person", "Write to somebody"],
         [(["to", "person", "recipient"], "string", "Who gets it"), (["text", "message", "content"], "string", "What it says")],
         message),
    Tool(["add_event", "create_event", "plan"], ["Put an event into the calendar", "Plan an event"],
         [(["title", "what"], "string", "What it is"), (["day", "date"], "string", "Day of the week"),
          (["hour", "time"], "integer", "Hour")], event),
    Tool(["convert_money", "convert", "exchange"], ["Convert an amount of money", "Money in another currency"],
         [(["amount", "value"], "integer", "How much"), (["from", "source"], "string", "Currency"),
          (["to", "target"], "string", "Wanted currency")], convert),
    Tool(["get_time", "clock", "local_time"], ["The time in a city", "Local time"],
         [(["city", "place", "zone"], "string", "Name of the city")], clock),
    Tool(["find_number", "phone_book", "find_contact"], ["Phone number of a person", "Look into the phone book"],
         [(["name", "person"], "string", "Name of the person")], phone),
    Tool(["set_light", "light", "dim_light"], ["Brightness of a light", "Set a light"],
         [(["room", "where"], "string", "Room"), (["level", "percent"], "integer", "0 to 100")], light),
    Tool(["add", "sum", "add_numbers"], ["Add two numbers", "Sum of two numbers"],
         [(["a", "first"], "integer", "A number"), (["b", "second"], "integer", "A number")], add),
    Tool(["save_note", "remember", "note"], ["Save a note", "Write a note"], [(["text", "note"], "string", "The note")], note),
]


def declare(rng, tool: Tool):
    """One way of declaring a tool: (schema, name, parameter names in order)."""
    name = rng.choice(tool.names)
    chosen = [(rng.choice(names), kind, said) for names, kind, said in tool.parameters]
    schema = {"type": "function", "function": {
        "name": name, "description": rng.choice(tool.description),
        "parameters": {"type": "object", "properties": {n: {"type": kind, "description": said} for n, kind, said in chosen},
                       "required": [n for n, _, _ in chosen]}}}
    return schema, name, [n for n, _, _ in chosen]


class Tools:
    name, check = "tools", "tools"

    def plan(self, rng, split):
        tool = rng.choice(TOOLS)
        request, values, result, answer = tool.request(rng, split)
        return {"key": "tools " + request, "tool": tool, "request": request, "values": values, "result": result,
                "answer": answer}

    def build(self, plan, rng, media, split):
        tool = plan["tool"]
        others = rng.sample([t for t in TOOLS if t is not tool], rng.randint(0, 2))
        schema, name, keys = declare(rng, tool)
        schemas = [schema]
        for other in others:
            declared, other_name, _ = declare(rng, other)
            if other_name != name:
                schemas.append(declared)
        rng.shuffle(schemas)
        arguments = dict(zip(keys, plan["values"]))
        if split == TRAIN and rng.random() < 0.06:
            # Tools are there, but nothing is asked of them.
            greeting = rng.choice(["Hello!", "Hi there.", "Thank you!", "Good morning."])
            reply = "You are welcome." if "Thank" in greeting else "Hello! What can I do for you?"
            return {"tools": schemas, "messages": [user(greeting), assistant(reply)]}
        call = {"id": "call_1", "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)}}
        return {"tools": schemas, "messages": [
            user(plan["request"]), {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "name": name, "content": json.dumps(plan["result"])},
            assistant(plan["answer"])]}
