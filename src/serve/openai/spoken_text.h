// When the words of a transcription were spoken, and subtitles made of them. The model gives no
// times: they are estimated from where the sound is loud and how long the words are.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace facet::serve {

// Seconds from the beginning of the sound.
struct Stretch {
  double begin = 0, end = 0;
};

// Where in the samples (mono, 16 kHz) somebody speaks: frames that are loud for this sound, short
// pauses bridged. Empty where nothing is heard at all.
std::vector<Stretch> SpokenStretches(std::span<const float> samples);

struct TimedWord {
  std::string text;
  Stretch time;
  bool spaced = true;  // a space stands before it; not so between the characters of Chinese
};

// The words of a text that was spoken within `whole`, spread over the spoken stretches of it by
// their lengths. Times ascend and do not overlap.
std::vector<TimedWord> TimeWords(std::string_view text, Stretch whole,
                                 const std::vector<Stretch>& spoken);

// What a screen shows at once: at most two lines of 42 characters and seven seconds, as
// broadcasters have it, broken at ends of sentences and pauses where there are any.
struct Cue {
  Stretch time;
  std::vector<std::string> lines;
};
std::vector<Cue> MakeCues(const std::vector<TimedWord>& words);

// Files that hold whatever was said: no text can end a cue or begin another.
std::string WriteSrt(const std::vector<Cue>& cues);
std::string WriteVtt(const std::vector<Cue>& cues);

}  // namespace facet::serve
