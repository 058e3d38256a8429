"""Sound and picture together: the question is spoken, or it is about what is spoken; the picture holds the answer.

Answers are sentences that say what they are about. So both have to be right; and what was heard is written down before it is
looked for, as a step between the two that one word would not leave room for."""
from . import scenes, voices, words
from .media import assistant, text, user
from .seeing import DESCRIBE
from .split import TRAIN

ANSWER_IT = ["Answer the spoken question.", "Listen and answer.", "Answer what is asked."]


class SoundPicture:
    name, check = "sound_picture", "text"
    asks_more = True  # an answer teaches little alone: in training, what was heard and seen is asked as well

    def _kinds(self):
        return [self._spoken, self._named, self._counted]

    def plan(self, rng, split):
        things = scenes.random_things(rng, rng.randint(1, 4), distinct=True)
        said, order, answer = rng.choice(self._kinds())(rng, things)
        return {"key": f"sound_picture {said} | {scenes.key_of(things)}", "things": things, "said": said, "order": order,
                "answer": answer}

    def _spoken(self, rng, things):
        question, answer = rng.choice([scenes.ask_colour, scenes.ask_shape, scenes.ask_place])(rng, things)
        said = question.lower().rstrip("?")
        subject = said.split(" is ", 1)[1]
        if said.startswith("what shape"):
            answer = scenes.article(answer)
        elif said.startswith("where"):
            answer = f"at the {answer}"
        return said, rng.choice(ANSWER_IT), f"{subject} is {answer}"

    def _named(self, rng, things):
        """A thing is named: is it there, and where?"""
        if rng.random() < 0.5:
            t = rng.choice(things)
            order = rng.choice(["Where is it?", "Where is what is named?"])
            return t.name, order, f"the {t.name} is at the {scenes.PLACES[t.place]}"
        name = rng.choice(things).name if rng.random() < 0.5 else f"{rng.choice(words.COLOURS)} {rng.choice(words.SHAPES)}"
        there = name in [t.name for t in things]
        return name, "Is it in the picture?", f"the {name} is in the picture" if there else f"the {name} is not in the picture"

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
        if split == TRAIN and self.asks_more:
            more = [("What is said?", plan["said"]), (rng.choice(DESCRIBE), scenes.describe(plan["things"]))]
            rng.shuffle(more)
            for question, answer in more:
                messages += [user(question), assistant(answer)]
        return {"messages": messages}


class Heard(SoundPicture):
    """An exercise: one thing is to be found by what is said of it, and nothing else is learnt."""
    name = "heard"
    asks_more = False

    def _kinds(self):
        return [self._spoken, self._named]
