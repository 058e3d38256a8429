"""Sound and picture together: the question is spoken, or it is about what is spoken; the picture holds the answer."""
from . import scenes, voices, words
from .media import assistant, text, user
from .seeing import DESCRIBE
from .split import TRAIN

ANSWER_IT = ["Answer the spoken question.", "Listen and answer.", "Answer what is asked."]


class SoundPicture:
    name, check = "sound_picture", "text"

    def plan(self, rng, split):
        things = scenes.random_things(rng, rng.randint(1, 4), distinct=True)
        said, order, answer = rng.choice([self._spoken, self._named, self._counted])(rng, things)
        return {"key": f"sound_picture {said} | {scenes.key_of(things)}", "things": things, "said": said, "order": order,
                "answer": answer}

    def _spoken(self, rng, things):
        question, answer = rng.choice([scenes.ask_colour, scenes.ask_shape, scenes.ask_place])(rng, things)
        return question.lower().rstrip("?"), rng.choice(ANSWER_IT), answer

    def _named(self, rng, things):
        """A thing is named: is it there, and where?"""
        if rng.random() < 0.5:
            t = rng.choice(things)
            return t.name, rng.choice(["Where is it?", "Where is what is named?"]), scenes.PLACES[t.place]
        name = rng.choice(things).name if rng.random() < 0.5 else f"{rng.choice(words.COLOURS)} {rng.choice(words.SHAPES)}"
        there = name in [t.name for t in things]
        return name, "Is it in the picture?", "yes" if there else "no"

    def _counted(self, rng, things):
        """A number is said: is it the number of things?"""
        count = len(things) if rng.random() < 0.5 else rng.randint(1, 6)
        said = f"there are {words.NUMBERS[count]} things" if count > 1 else "there is one thing"
        return said, "Is that true?", "yes" if count == len(things) else "no"

    def build(self, plan, rng, media, split):
        picture = media.picture(rng, lambda r: scenes.paint_things(r, plan["things"]))
        voice = rng.choice(voices.TRAINING)
        clip = media.sound(rng, lambda r: voices.record(r, voices.say(r, plan["said"], voice)))
        messages = [user(picture, clip, text(plan["order"])), assistant(plan["answer"])]
        if split == TRAIN:  # an answer of one word teaches little: what was heard and seen is asked as well
            more = [("What is said?", plan["said"]), (rng.choice(DESCRIBE), scenes.describe(plan["things"]))]
            rng.shuffle(more)
            for question, answer in more:
                messages += [user(question), assistant(answer)]
        return {"messages": messages}
